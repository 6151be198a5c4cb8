"""Pixels out of bounds, which may be those of their neighbourhood: each array read once."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from fastprep.core.threads import run_slabs
from fastprep.kernels.cpu._numba import jit


def defects(
    x: npt.NDArray[np.float32],
    near: npt.NDArray[np.float32] | None,
    low: float,
    high: float,
    out: npt.NDArray[Any],
) -> None:
    """``out = 1`` unless ``low * near <= x <= high * near``, or ``low <= x <= high`` without ``near``; else it stays.

    All (Z, Y, X) and contiguous; products are those of float64. NaN is out of any bounds.
    """
    values, marks = x.reshape(-1), out.view(np.uint8).reshape(-1)
    scale = values if near is None else near.reshape(-1)
    run_slabs(lambda start, stop: _slab(values, scale, near is None, low, high, marks, start, stop), values.size)


@jit
def _slab(x: Any, near: Any, alone: bool, low: float, high: float, out: Any, start: int, stop: int) -> None:
    for i in range(start, stop):
        scale = 1.0 if alone else np.float64(near[i])
        value = np.float64(x[i])
        # Comparisons are false for NaN.
        if not (low * scale <= value <= high * scale):
            out[i] = 1
