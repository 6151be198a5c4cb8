"""Covariance: what one pass over several channels tells of how they vary together, put together in a fixed order."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

#: Spread below this fraction of the mean is the rounding of float64 sums.
_ROUNDING = 64 * float(np.finfo(np.float64).eps)


@dataclass(frozen=True, eq=False)
class Covariance:
    """Of the voxels where every channel is finite: how many, the channels' means (K,) and covariances (K, K), ddof 0.

    ``nonfinite`` (K,) int64 counts the voxels inside the mask where a channel is not finite.
    """

    count: int
    means: npt.NDArray[np.float64]
    cov: npt.NDArray[np.float64]
    nonfinite: npt.NDArray[np.int64]

    @classmethod
    def of(
        cls,
        count: int,
        means: npt.NDArray[np.float64],
        cov: npt.NDArray[np.float64],
        nonfinite: npt.NDArray[np.int64],
    ) -> Covariance:
        """With a channel that is constant but for rounding exactly so."""
        constant = np.sqrt(np.diag(cov)) <= _ROUNDING * np.abs(means)
        return cls(count, means, np.where(constant[:, None] | constant, 0.0, cov), nonfinite)

    @classmethod
    def of_chunks(cls, rows: npt.NDArray[np.float64], channels: int) -> Covariance:
        """Rows of count, nonfinite (K), sums (K) and products (K (K + 1) / 2), these about the chunk's own means.

        Products are of channels i <= j in the order (0, 0), (0, 1), ... (Chan, Golub, LeVeque 1983).
        """
        nonfinite = rows[:, 1 : channels + 1].sum(axis=0).astype(np.int64)
        rows = rows[rows[:, 0] > 0]
        count, sums, products = rows[:, 0], rows[:, channels + 1 : 2 * channels + 1], rows[:, 2 * channels + 1 :]
        n = int(count.sum())
        if not n:
            return cls(0, np.full(channels, np.nan), np.full((channels, channels), np.nan), nonfinite)
        # fsum rounds once, so the mean of integers is exact.
        means = np.array([math.fsum(total) / n for total in sums.T])
        away = sums / count[:, None] - means
        cov = np.empty((channels, channels))
        for p, (i, j) in enumerate(zip(*np.triu_indices(channels), strict=True)):
            between = count * away[:, i] * away[:, j]
            cov[i, j] = cov[j, i] = (math.fsum(products[:, p]) + math.fsum(between)) / n
        return cls.of(n, means, cov, nonfinite)
