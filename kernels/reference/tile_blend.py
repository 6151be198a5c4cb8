"""Every voxel through the tables of the tiles around it, blended by how near their centres are."""

from __future__ import annotations

from itertools import product
from typing import Any

import numpy as np
import numpy.typing as npt

from fastprep.core.tiles import places, takes_part
from fastprep.kernels.reference._bins import bins_of
from fastprep.kernels.reference._store import store

Float32 = npt.NDArray[np.float32]


def tile_blend(
    x: npt.NDArray[Any],
    mask: npt.NDArray[Any] | None,
    tables: npt.NDArray[np.float32],
    counts: npt.NDArray[np.int32],
    tiles: tuple[int, ...],
    size: tuple[int, ...],
    origin: tuple[int, ...],
    bins: int,
    low: float,
    high: float,
    out: npt.NDArray[Any],
) -> None:
    """``out = low + `` the blend of what the nearest tables of `tile_tables` make of ``x`` (B, Z, Y, X).

    ``origin`` is the place of the first voxel in the image that the tables are of. Between two entries of a table a
    value lies on the line; where every whole number has a bin of its own, it is an entry. Blended in float32, along x
    first and z last; an axis of one voxel takes no part. Tables of tiles without a voxel are left out, and the other
    weights divided by their sum. What is outside the mask or not finite stays as it is, and so does what has no table.
    """
    axes = [places(n, o, s, t) for n, o, s, t in zip(x.shape[1:], origin, size, tiles, strict=True)]
    sides = [(0, 1) if takes_part(t, s) else (0,) for t, s in zip(tiles, size, strict=True)]
    exact = x.dtype.kind in "iu" and bins == int(high) - int(low) + 1
    for b, volume in enumerate(x):
        found = bins_of(volume, bins, low, high)
        values, weights, there = {}, {}, {}
        for corner in product(*sides):
            tile: Any = 0
            weight: Any = np.float32(1)
            for axis, (at, count, side) in enumerate(zip(axes, tiles, corner, strict=True)):
                shape = [-1 if a == axis else 1 for a in range(3)]
                tile = tile * count + at[side].reshape(shape)
                if len(sides[axis]) == 2:
                    weight = weight * at[2 + side].reshape(shape)
            values[corner] = _looked_up(tables[b], tile, found.place, None if exact else found.filled)
            weights[corner], there[corner] = weight, np.broadcast_to(counts[b][tile] > 0, volume.shape)
        all_there = np.all(list(there.values()), axis=0)
        shared, weight = _shared(values, weights, there)
        blend = np.where(all_there, _nested(values, axes), shared)
        kept = ~found.counts | (weight == 0)
        if mask is not None:
            kept |= mask[b] == 0
        store(out[b], low + blend.astype(np.float64))
        out[b][kept] = _cast(volume[kept], out.dtype)


def _cast(values: npt.NDArray[Any], dtype: np.dtype[Any]) -> npt.NDArray[Any]:
    if values.dtype == dtype:
        return values
    cast = np.empty(values.shape, dtype)
    store(cast, values)
    return cast


def _looked_up(
    tables: Float32, tile: npt.NDArray[np.int64], place: npt.NDArray[np.int64], filled: Float32 | None
) -> Float32:
    """Entries of a table for each voxel, or what lies between them; before the first is 0."""
    top: Float32 = tables[tile, place]
    if filled is None:
        return top
    base = np.where(place > 0, tables[tile, np.maximum(place - 1, 0)], np.float32(0))
    between: Float32 = base + (top - base) * filled
    return between


def _nested(values: dict[tuple[int, ...], Float32], axes: list[Any]) -> Float32:
    """Blended along the last axis first."""
    for axis in (2, 1, 0):
        shape = [-1 if a == axis else 1 for a in range(3)]
        near, far = axes[axis].near.reshape(shape), axes[axis].far.reshape(shape)
        left = {corner[:axis]: v for corner, v in values.items() if corner[axis] == 0}
        right = {corner[:axis]: v for corner, v in values.items() if corner[axis] == 1}
        values = {c: v * near + right[c] * far for c, v in left.items()} if right else left
    return values[()]


def _shared(
    values: dict[tuple[int, ...], Float32],
    weights: dict[tuple[int, ...], Float32],
    there: dict[tuple[int, ...], npt.NDArray[np.bool_]],
) -> tuple[Float32, Float32]:
    """The mean by weight of those that are there, in their order, and the sum of their weights; 0 where none is."""
    total = np.zeros(next(iter(there.values())).shape, np.float32)
    weight = np.zeros(total.shape, np.float32)
    for corner, value in values.items():
        total += np.where(there[corner], weights[corner] * value, np.float32(0))
        weight += np.where(there[corner], weights[corner], np.float32(0))
    return np.divide(total, weight, out=np.zeros_like(total), where=weight > 0), weight
