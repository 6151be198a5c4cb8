"""``out[k] = clip(a_k * x + b_k, lo_k, hi_k)``: each voxel read once in its own dtype, written once per channel."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from fastprep.kernels.cpu._numba import as_compute, compute_dtype, jit, put
from fastprep.kernels.cpu._pointwise import over_chunks


def ramp(x: npt.NDArray[Any], out: npt.NDArray[Any], ramps: npt.NDArray[np.float64]) -> None:
    """``x`` (...), ``out`` (K, ...), ``ramps`` (K, 4) as (a, b, lo, hi)."""
    over_chunks(_ramp, x, out, as_compute(ramps, compute_dtype(x, out)))


@jit
def _ramp(x: Any, out: Any, ramps: Any) -> None:
    for k in range(ramps.shape[0]):
        a, b, lo, hi = ramps[k, 0], ramps[k, 1], ramps[k, 2], ramps[k, 3]
        row = out[k]
        for i in range(x.size):
            y = a * x[i] + b
            # Comparisons are false for NaN, so it passes through.
            y = lo if y < lo else y
            y = hi if y > hi else y
            put(row, i, y)
