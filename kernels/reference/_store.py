"""Casting results: integers round half to even and saturate, NaN becomes 0."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt


def store(out: npt.NDArray[Any], values: npt.NDArray[Any]) -> None:
    """``out[...] = values`` under the dtype rule."""
    if out.dtype.kind in "iu":
        info = np.iinfo(out.dtype)
        whole = np.rint(np.nan_to_num(values, nan=0.0))
        # float64 cannot hold the largest int64, so the ends are set, not clipped to.
        with np.errstate(invalid="ignore"):
            out[...] = whole.astype(out.dtype)
        out[whole >= float(info.max)] = info.max
        out[whole <= float(info.min)] = info.min
    elif out.dtype.kind == "b":
        out[...] = values != 0
    else:
        with np.errstate(over="ignore"):
            out[...] = values


def apply_ramp(values: npt.NDArray[Any], ramp: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """``clip(a * x + b, lo, hi)`` in float64."""
    a, b, lo, hi = ramp
    return np.asarray(np.clip(a * np.asarray(values, dtype=np.float64) + b, lo, hi))
