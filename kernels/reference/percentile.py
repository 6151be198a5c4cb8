"""The values either side of each quantile among the voxels inside a mask."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from fastprep.core.order_statistics import OrderStatistics, ranks


def percentile(x: npt.NDArray[Any], mask: npt.NDArray[Any] | None, q: npt.NDArray[np.float64]) -> list[OrderStatistics]:
    """Of each volume of ``x`` (B, Z, Y, X) where ``mask`` of that shape is not zero, for ``q`` (Q,) in [0, 1].

    NaN has no place in the order and is counted apart.
    """
    return [_percentile(v, None if mask is None else mask[b], q) for b, v in enumerate(x)]


def _percentile(x: npt.NDArray[Any], mask: npt.NDArray[Any] | None, q: npt.NDArray[np.float64]) -> OrderStatistics:
    inside = (x if mask is None else x[mask != 0]).astype(np.float64).ravel()
    values = np.sort(inside[~np.isnan(inside)]) + 0.0  # no zero is negative
    nan = inside.size - values.size
    if not values.size:
        return OrderStatistics(0, nan, np.full(q.shape, np.nan), np.full(q.shape, np.nan))
    below, above = ranks(values.size, q)
    return OrderStatistics(values.size, nan, values[below], values[above], bool(np.isinf(values).any()))
