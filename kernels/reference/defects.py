"""Pixels out of bounds, which may be those of their neighbourhood."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt


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
    values = x.astype(np.float64)
    scale = 1.0 if near is None else near.astype(np.float64)
    out[~((values >= low * scale) & (values <= high * scale))] = 1
