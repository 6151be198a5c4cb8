"""Means and covariances of channels over the voxels inside a mask."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from fastprep.core.covariance import Covariance


def covariance(x: npt.NDArray[Any], mask: npt.NDArray[Any] | None) -> Covariance:
    """Of ``x`` (K, Z, Y, X) where ``mask`` (Z, Y, X) is not zero, everywhere without one, and every channel finite."""
    inside = (x.reshape(len(x), -1) if mask is None else x[:, mask != 0]).astype(np.float64)
    finite = np.isfinite(inside)
    values = inside[:, finite.all(axis=0)]
    nonfinite = np.count_nonzero(~finite, axis=1).astype(np.int64)
    count, k = values.shape[1], len(x)
    if not count:
        return Covariance(0, np.full(k, np.nan), np.full((k, k), np.nan), nonfinite)
    means = np.array([v.mean() for v in np.ascontiguousarray(values)])
    away = values - means[:, None]
    cov = np.array([[(a * b).mean() for b in away] for a in away])
    return Covariance.of(count, means, cov, nonfinite)
