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
    def of_chunks(cls, rows: npt.NDArray[np.float64]) -> Moments:
        """Rows of (count, sum, m2, low, high, nonfinite), m2 about the chunk's own mean (Chan, Golub, LeVeque 1983)."""
        nonfinite = int(rows[:, 5].sum())
        count, total, m2, low, high, _ = rows[rows[:, 0] > 0].T
        n = int(count.sum())
        if not n:
            return cls(0, math.nan, math.nan, math.nan, math.nan, nonfinite)
        # fsum rounds once, so the mean of integers is exact.
        mean = math.fsum(total) / n
        between = count * np.square(total / count - mean)
        return cls(n, mean, math.fsum(m2) + math.fsum(between), float(low.min()), float(high.max()), nonfinite)
