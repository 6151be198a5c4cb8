"""Each voxel by the mean and standard deviation of its neighbours."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from fastprep.core.box import SPREAD
from fastprep.kernels.reference._store import store


def local_normalize(
    x: npt.NDArray[Any],
    out: npt.NDArray[Any],
    mask: npt.NDArray[Any] | None,
    reach: tuple[int, ...],
    centers: npt.NDArray[np.float64],
    stds: npt.NDArray[np.float64],
    floor: float,
) -> None:
    """``out = (x - m) / s``, of the voxels inside ``mask`` that are up to ``reach`` away: all (B, Z, Y, X).

    ``m`` and ``s`` are their mean and standard deviation, which is at least ``floor`` times that of the volume's entry
    of ``stds``; 0 where there are none, or they do not differ. Sums are of differences from ``centers``.
    """
    for b, volume in enumerate(x):
        inside = np.ones(volume.shape, np.bool_) if mask is None else mask[b] != 0
        shifted = np.subtract(volume, centers[b], dtype=np.float64)
        values = np.where(inside, shifted, 0)
        count, total, square = (_box(v, reach) for v in (inside.astype(np.float64), values, values * values))
        with np.errstate(divide="ignore", invalid="ignore"):
            mean = total / count
            variance = square / count - mean * mean
            flat = variance <= SPREAD * (stds[b] * stds[b] + mean * mean)
            spread = np.maximum(np.sqrt(np.where(flat, 0, variance)), floor * stds[b])
            result = (shifted - mean) / spread
        store(out[b], np.where((count > 0) & (spread > 0), result, 0))


def _box(values: npt.NDArray[np.float64], reach: tuple[int, ...]) -> npt.NDArray[np.float64]:
    """Sums over windows that end at the border."""
    for axis, r in enumerate(reach):
        n = values.shape[axis]
        index = np.arange(n)
        line = np.moveaxis(values, axis, 0)
        ends = zip(np.maximum(index - r, 0), np.minimum(index + r + 1, n), strict=True)
        values = np.moveaxis(np.stack([line[start:stop].sum(axis=0) for start, stop in ends]), 0, axis)
    return values
