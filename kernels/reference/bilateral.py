"""The mean of the neighbours of each voxel that are near in space and alike in value."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from fastprep.kernels.reference._store import store


def bilateral(
    x: npt.NDArray[Any], out: npt.NDArray[Any], reach: tuple[int, ...], near: npt.NDArray[np.float32], scale: float
) -> None:
    """``out = x(p) + sum w d / sum w``, ``w = near exp(-scale d^2)``, d = x(q) - x(p), q up to ``reach`` away from p.

    All (B, Z, Y, X), ``near`` (2 r + 1, ...) of each axis; a window ends at the border.
    """
    for given, result in zip(x, out, strict=True):
        values = given.astype(np.float64)
        total, weights = np.zeros(values.shape), np.zeros(values.shape)
        for index in np.ndindex(*near.shape):
            here, there = zip(
                *(_overlap(i - r, n) for i, r, n in zip(index, reach, given.shape, strict=True)), strict=True
            )
            d = values[there] - values[here]
            w = near[index].astype(np.float64) * np.exp(-scale * np.square(d))
            total[here] += w * d
            weights[here] += w
        store(result, values + total / weights)


def _overlap(shift: int, n: int) -> tuple[slice, slice]:
    """The voxels of an axis that have a neighbour so far away, and those neighbours."""
    return slice(max(-shift, 0), max(n - max(shift, 0), 0)), slice(max(shift, 0), max(n + min(shift, 0), 0))
