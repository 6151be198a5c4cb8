"""Moments: what one pass over the voxels tells of their values, put together from fixed chunks in a fixed order."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True)
class Moments:
    """Of the finite values: how many, mean, sum of squared deviations, extremes; and how many are not finite."""

    count: int
    mean: float
    m2: float
    low: float
    high: float
    nonfinite: int

    @property
    def std(self) -> float:
        """The standard deviation of the population (ddof 0)."""
        return math.sqrt(self.m2 / self.count)

    @classmethod
    def of_integers(cls, rows: npt.NDArray[np.int64]) -> Moments:
        """Rows of (count, sum, sum of squares, low, high, -) of integers, all exact, as is what comes of them."""
        count, total, squares, low, high, _ = rows[rows[:, 0] > 0].T
        n = int(count.sum())
        if not n:
            return cls(0, math.nan, math.nan, math.nan, math.nan, 0)
        s = int(total.sum())
        # Quotients of Python's integers are rounded once.
        m2 = (n * int(squares.sum()) - s * s) / n
        return cls(n, s / n, m2, float(low.min()), float(high.max()), 0)

    @classmethod
    def of_row(cls, row: npt.NDArray[np.float64]) -> Moments:
        """Of (count, mean, m2, low, high, nonfinite, shift), the mean told from the shift."""
        count, mean, m2, low, high, nonfinite, shift = (float(v) for v in row)
        if not count:
            return cls(0, math.nan, math.nan, math.nan, math.nan, int(nonfinite))
        return cls(int(count), shift + mean, m2, low, high, int(nonfinite))

    @classmethod
    def of_chunks(cls, rows: npt.NDArray[np.float64]) -> Moments:
        """Rows of (count, sum, m2, low, high, nonfinite), m2 about the chunk's own mean (Chan, Golub, LeVeque 1983)."""
        nonfinite = int(rows[:, 5].sum())
        count, total, m2, low, high, _ = rows[rows[:, 0] > 0].T
        n = int(count.sum())
        if not n:
            return cls(0, math.nan, math.nan, math.nan, math.nan, nonfinite)
        with np.errstate(invalid="ignore", over="ignore"):
            # fsum rounds once, so the mean of integers is exact; it knows no sums beyond the largest float.
            mean = math.fsum(total) / n if np.abs(total).sum() < math.inf else float((total / n).sum())
            between = count * np.square(total / count - mean)
            squares = float(m2.sum() + between.sum())
        return cls(n, mean, squares, float(low.min()), float(high.max()), nonfinite)
