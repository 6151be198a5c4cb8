"""Distribution: how often values occur, on an even grid of them."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from fastprep.core.moments import Moments
from fastprep.core.order_statistics import of_counts


@dataclass(frozen=True, eq=False)
class Distribution:
    """``counts[k]`` voxels, maybe none, have a value within half a ``width`` of ``low + k * width``.

    ``is_exact`` where they have that value itself, a whole number.
    """

    low: float
    width: float
    counts: npt.NDArray[np.uint64]
    is_exact: bool = False

    @property
    def centers(self) -> npt.NDArray[np.float64]:
        """The value each count stands for."""
        return self.low + self.width * np.arange(self.counts.size, dtype=np.float64)

    @property
    def total(self) -> int:
        """Voxels in all."""
        return int(self.counts.sum())

    def quantiles(self, q: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """``(Q,)`` quantiles of the values counted."""
        return of_counts(self.counts, self.centers, 0, q).quantiles(q)

    def moments(self, between: tuple[float, float] = (-math.inf, math.inf)) -> Moments:
        """Of the values counted that lie between two numbers, neither of them included: exact where they are."""
        values = self.centers
        held = np.flatnonzero((values > between[0]) & (values < between[1]) & (self.counts > 0))
        v, n = values[held].astype(np.int64), self.counts[held].astype(np.int64)
        if not held.size:
            return Moments.of_integers(np.zeros((0, 6), np.int64))
        row = [n.sum(), (n * v).sum(), (n * v * v).sum(), v[0], v[-1], 0]
        return Moments.of_integers(np.array([row], np.int64))
