"""Count, mean, squared deviations and extremes of the voxels inside a mask."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from fastprep.core.moments import Moments


def moments(x: npt.NDArray[Any], mask: npt.NDArray[Any] | None, between: tuple[float, float] | None) -> list[Moments]:
    """Of each volume of ``x`` (B, Z, Y, X) where ``mask`` of that shape is not zero, everywhere without one.

    Of those values only that lie between two numbers, neither of them included.
    """
    return [_moments(v, None if mask is None else mask[b], between) for b, v in enumerate(x)]


def _moments(x: npt.NDArray[Any], mask: npt.NDArray[Any] | None, between: tuple[float, float] | None) -> Moments:
    inside = (x if mask is None else x[mask != 0]).astype(np.float64).ravel()
    values = inside[np.isfinite(inside)]
    bad = inside.size - values.size
    if between is not None:
        values = values[(values > between[0]) & (values < between[1])]
    if not values.size:
        return Moments(0, np.nan, np.nan, np.nan, np.nan, bad)
    mean = float(values.mean())
    m2 = float(np.square(values - mean).sum())
    return Moments(values.size, mean, m2, float(values.min()), float(values.max()), bad)
