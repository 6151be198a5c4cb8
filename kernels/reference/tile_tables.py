"""The grey levels of every tile of an image spread out by its own histogram, whose peaks are cut: tables of CLAHE."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from fastprep.core.border import mirrored
from fastprep.kernels.reference._bins import bins_of


def tile_tables(
    x: npt.NDArray[Any],
    mask: npt.NDArray[Any] | None,
    tiles: tuple[int, ...],
    size: tuple[int, ...],
    bins: int,
    low: float,
    high: float,
    clip_limit: float,
    whole: bool,
    tables: npt.NDArray[np.float32],
    counts: npt.NDArray[np.int32],
) -> None:
    """``tables`` (B, T, bins) of the T tiles, in C order, of each ``x`` (B, Z, Y, X): grey levels above ``low``.

    ``tiles`` of ``size`` voxels along each axis; beyond the image it is mirrored, and its mask with it. ``counts``
    (B, T) are the finite voxels of a tile where ``mask`` is not zero; of none the table is zeros. Where ``clip_limit``
    is not 0 no bin holds more than so many times the mean, and what is beyond is shared out among all. ``whole`` rounds
    half to even.
    """
    where = np.ix_(*(mirrored(np.arange(t * s), n) for t, s, n in zip(tiles, size, x.shape[1:], strict=True)))
    for b, volume in enumerate(x):
        found = bins_of(volume, bins, low, high)
        inside = found.counts if mask is None else found.counts & (mask[b] != 0)
        place, inside = found.place[where], inside[where]
        for t, corner in enumerate(np.ndindex(*tiles)):
            part = tuple(slice(k * s, (k + 1) * s) for k, s in zip(corner, size, strict=True))
            histogram = np.bincount(place[part][inside[part]], minlength=bins)
            count = int(histogram.sum())
            counts[b, t] = count
            tables[b, t] = _table(histogram, count, high - low, clip_limit, whole) if count else 0


def _table(
    histogram: npt.NDArray[np.int64], count: int, span: float, clip_limit: float, whole: bool
) -> npt.NDArray[np.float32]:
    bins = len(histogram)
    if clip_limit > 0:
        limit = max(int(min(clip_limit * count / bins, count)), 1)
        excess = int(np.maximum(histogram - limit, 0).sum())
        histogram = np.minimum(histogram, limit) + excess // bins
        rest = excess % bins
        if rest:
            histogram[:: max(bins // rest, 1)][:rest] += 1
    levels = np.cumsum(histogram).astype(np.float32) * (np.float32(span) / np.float32(count))
    return np.rint(levels) if whole else levels
