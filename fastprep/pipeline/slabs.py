"""Slabs: a pass cut along its first output axis, each with the box of the input it needs."""

from __future__ import annotations

import math
from dataclasses import replace
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from fastprep.core.index_map import IndexMap
from fastprep.pipeline.passes import Pass

#: Voxels around a slab that a cubic spline's coefficients need to forget where it was cut.
_SPLINE_REACH = 40


class Slab(NamedTuple):
    """Outputs ``start <= z < stop``, and the box of the input they need."""

    start: int
    stop: int
    box: tuple[slice, ...]
    step: Pass


def bytes_of_slabs(whole: Pass, x: npt.NDArray[Any], count: int) -> int:
    """Bytes on the device of the largest slab: two inputs in turn, its result, and what a kernel keeps between."""
    leading = math.prod(x.shape) // math.prod(x.shape[x.ndim - whole.grid.ndim :])
    most = 0
    for slab in cut_pass(whole, count):
        voxels = leading * math.prod(s.stop - s.start for s in slab.box)
        outputs = leading * math.prod(slab.step.grid.shape)
        between = 8 * max(voxels, outputs) if whole.order == 3 or whole.antialias else 0
        width = whole.written(x.dtype).itemsize
        most = max(most, 2 * voxels * x.itemsize + between + outputs * width * len(whole.post))
    return most


def cut_pass(whole: Pass, count: int) -> list[Slab]:
    """The pass cut along its first output axis."""
    depth = whole.grid.shape[0]
    edges = sorted({depth * i // count for i in range(count + 1)})
    return [_slab(whole, a, b) for a, b in pairwise(edges)]


def _slab(whole: Pass, start: int, stop: int) -> Slab:
    shape = (stop - start, *whole.grid.shape[1:])
    if whole.is_pointwise:
        same, box = IndexMap.identity(shape), (slice(start, stop), *(slice(0, n) for n in shape[1:]))
        grid = IndexMap.crop((start, *[0] * (len(shape) - 1)), (stop, *shape[1:])).grid(whole.grid)
        limit = tuple((0, n) for n in shape)
        return Slab(start, stop, box, replace(whole, seen=same, index_map=same, grid=grid, limit=limit))
    size = whole.seen.shape
    corners = np.stack(np.meshgrid((start, stop - 1), *[(0, n - 1) for n in shape[1:]], indexing="ij"), -1)
    at = whole.index_map.to_input(corners.reshape(-1, len(shape)))
    step = np.abs(whole.index_map.matrix[: len(shape), : len(shape)]).max()
    reach = 2 + (_SPLINE_REACH if whole.order == 3 else 0) + (int(2 * step) + 2 if whole.antialias else 0)
    low = np.clip(np.floor(at.min(axis=0)) - reach, 0, np.array(size) - 1).astype(int)
    high = np.maximum(np.clip(np.ceil(at.max(axis=0)) + reach + 1, 0, size).astype(int), low + 1)
    box = tuple(slice(int(a), int(b)) for a, b in zip(low, high, strict=True))
    inner = tuple(int(b - a) for a, b in zip(low, high, strict=True))
    move_in = IndexMap.crop((start, *[0] * (len(shape) - 1)), (stop, *shape[1:]))
    matrix = whole.index_map.matrix @ move_in.matrix
    matrix[: len(shape), 3] -= low
    (first, last), *others = whole.limit
    limit = ((min(max(first - start, 0), shape[0]), min(max(last - start, 0), shape[0])), *others)
    part = replace(
        whole,
        seen=IndexMap.identity(inner),
        index_map=IndexMap(shape, matrix),
        grid=move_in.grid(whole.grid),
        limit=limit,
    )
    return Slab(start, stop, box, part)
