"""OrderStatistics: the sorted values either side of each quantile, and what NumPy makes of them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True, eq=False)
class OrderStatistics:
    """Of ``count`` values that are not NaN, (Q,) neighbours in order of each quantile; NaN where there is no value."""

    count: int
    nan: int
    lower: npt.NDArray[np.float64]
    upper: npt.NDArray[np.float64]
    #: Whether any value is infinite.
    infinite: bool = False

    def quantiles(self, q: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """``(Q,)`` quantiles by the line between the neighbours: the bits of `numpy.quantile` of float64 values."""
        below, _ = ranks(self.count, q)
        at = (self.count - 1) * q
        # NumPy counts the last value from the end, as -1.
        t = at - np.where(at >= self.count - 1, -1, below)
        with np.errstate(invalid="ignore", over="ignore"):
            step = self.upper - self.lower
            return np.where(t >= 0.5, self.upper - step * (1 - t), self.lower + step * t)


def ranks(count: int, q: npt.NDArray[np.float64]) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Places, from 0, of the two neighbours of each quantile among ``count`` values in order; both 0 of none."""
    last = max(count - 1, 0)
    below = np.minimum(np.floor(last * q).astype(np.int64), last)
    return below, np.minimum(below + 1, last)


def of_counts(
    totals: npt.NDArray[np.uint64], values: npt.NDArray[np.float64], nan: int, q: npt.NDArray[np.float64]
) -> OrderStatistics:
    """Of ``values`` in order, each of which occurs so often."""
    count = int(totals.sum())
    if not count:
        empty = np.full(q.shape, np.nan)
        return OrderStatistics(0, nan, empty, empty)
    ends = np.cumsum(totals)
    lower, upper = (values[np.searchsorted(ends, r.astype(np.uint64), "right")] for r in ranks(count, q))
    held = values[totals > 0]
    return OrderStatistics(count, nan, lower, upper, bool(np.isinf(held[[0, -1]]).any()))
