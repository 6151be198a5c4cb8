"""``out = sum_k weights[k] * x[k] + offset``."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from fastprep.kernels.reference._store import store


def combine(x: npt.NDArray[Any], out: npt.NDArray[Any], weights: npt.NDArray[np.float64], offset: float) -> None:
    """``x`` (K, Z, Y, X), ``out`` (Z, Y, X) contiguous, ``weights`` (K,)."""
    total = np.zeros(out.shape)
    with np.errstate(invalid="ignore"):
        for k, weight in enumerate(weights):
            total += weight * x[k].astype(np.float64)
        store(out, total + offset)
