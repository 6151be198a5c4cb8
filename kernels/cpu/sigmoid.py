"""``out[k] = lo_k + (hi_k - lo_k) / (1 + exp(-(a_k * x + b_k)))``: DICOM's SIGMOID VOI function."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from fastprep.kernels.cpu._numba import as_compute, compute_dtype, jit, put
from fastprep.kernels.cpu._pointwise import over_chunks


def sigmoid(x: npt.NDArray[Any], out: npt.NDArray[Any], ramps: npt.NDArray[np.float64]) -> None:
    """``x`` (...), ``out`` (K, ...), ``ramps`` (K, 4) as (a, b, lo, hi)."""
    over_chunks(_sigmoid, x, out, as_compute(ramps, compute_dtype(x, out)))


@jit
def _sigmoid(x: Any, out: Any, ramps: Any) -> None:
    one = ramps.dtype.type(1)
    for k in range(ramps.shape[0]):
        a, b, lo, hi = ramps[k, 0], ramps[k, 1], ramps[k, 2], ramps[k, 3]
        row = out[k]
        for i in range(x.size):
            y = a * x[i] + b
            put(row, i, lo + (hi - lo) / (one + math.exp(-y)))
