"""A Ramp inside a mask; outside it one value, or what was there."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from fastprep.kernels.reference._store import apply_ramp, store


def masked_ramp(
    x: npt.NDArray[Any],
    mask: npt.NDArray[Any],
    ramp: npt.NDArray[np.float64],
    outside: float | None,
    out: npt.NDArray[Any],
) -> None:
    """``out = clip(a x + b, lo, hi)`` where ``mask`` is not zero, else ``outside``, or x where that is None.

    ``x``, ``mask`` and ``out``, contiguous, are (Z, Y, X); ``ramp`` is (a, b, lo, hi).
    """
    rest = x.astype(np.float64) if outside is None else outside
    with np.errstate(invalid="ignore", over="ignore"):
        store(out, np.where(mask != 0, apply_ramp(x, ramp), rest))
