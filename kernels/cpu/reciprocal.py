"""``out[k] = level_k / x`` where x is above 0, else 0: each pixel read once."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from fastprep.kernels.cpu._numba import as_compute, compute_dtype, jit, put
from fastprep.kernels.cpu._pointwise import over_chunks


def reciprocal(x: npt.NDArray[Any], out: npt.NDArray[Any], levels: npt.NDArray[np.float64]) -> None:
    """``x`` (...) and ``out`` (K, ...) float32, ``levels`` (K,)."""
    over_chunks(_reciprocal, x, out, as_compute(levels, compute_dtype(x, out)))


@jit
def _reciprocal(x: Any, out: Any, levels: Any) -> None:
    for k in range(levels.size):
        row, level = out[k], levels[k]
        for i in range(x.size):
            v = levels.dtype.type(x[i])
            # Comparisons are false for NaN.
            put(row, i, level / v if v > 0 else levels.dtype.type(0))
