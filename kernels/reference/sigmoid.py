"""``out[k] = lo_k + (hi_k - lo_k) / (1 + exp(-(a_k * x + b_k)))``: DICOM's SIGMOID VOI function."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from fastprep.kernels.reference._store import store


def sigmoid(x: npt.NDArray[Any], out: npt.NDArray[Any], ramps: npt.NDArray[np.float64]) -> None:
    """``x`` (...), ``out`` (K, ...), ``ramps`` (K, 4) as (a, b, lo, hi)."""
    for k, (a, b, lo, hi) in enumerate(ramps):
        with np.errstate(over="ignore"):
            store(out[k], lo + (hi - lo) / (1.0 + np.exp(-(a * x.astype(np.float64) + b))))
