"""``out[k] = clip(a_k * x + b_k, lo_k, hi_k)``."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from fastprep.kernels.reference._store import apply_ramp, store


def ramp(x: npt.NDArray[Any], out: npt.NDArray[Any], ramps: npt.NDArray[np.float64]) -> None:
    """``x`` (...), ``out`` (K, ...), ``ramps`` (K, 4) as (a, b, lo, hi)."""
    for k in range(len(ramps)):
        store(out[k], apply_ramp(x, ramps[k]))
