"""Where values lie between two numbers."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt


def between(
    x: npt.NDArray[Any], mask: npt.NDArray[Any] | None, low: float, high: float, out: npt.NDArray[np.bool_]
) -> None:
    """``out = low < x < high`` where ``mask`` is not zero, everywhere without one: all (B, Z, Y, X)."""
    wide = x.astype(np.float64)
    out[...] = (wide > low) & (wide < high)
    if mask is not None:
        out &= mask != 0
