"""``out[k] = level_k / x`` where x is above 0, else 0."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from fastprep.kernels.reference._store import store


def reciprocal(x: npt.NDArray[Any], out: npt.NDArray[Any], levels: npt.NDArray[np.float64]) -> None:
    """``x`` (...) and ``out`` (K, ...) float32, ``levels`` (K,)."""
    there = x > 0
    for k, level in enumerate(levels):
        store(out[k], np.where(there, np.float32(level) / np.where(there, x, 1), 0))
