"""How much two volumes differ inside a mask."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from fastprep.core.differences import Differences


def errors(a: npt.NDArray[Any], b: npt.NDArray[Any], mask: npt.NDArray[Any] | None) -> list[Differences]:
    """Of ``b - a`` of each volume (B, Z, Y, X) where ``mask`` of that shape is not zero, everywhere without one."""
    return [_errors(v, w, None if mask is None else mask[i]) for i, (v, w) in enumerate(zip(a, b, strict=True))]


def _errors(a: npt.NDArray[Any], b: npt.NDArray[Any], mask: npt.NDArray[Any] | None) -> Differences:
    inside = np.ones(a.shape, np.bool_) if mask is None else mask != 0
    with np.errstate(invalid="ignore", over="ignore"):
        d = b[inside].astype(np.float64) - a[inside].astype(np.float64)
        finite = np.isfinite(d)
        bad, d = int(np.count_nonzero(~finite)), d[finite]
        total, absolute, square = float(d.sum()), float(np.abs(d).sum()), float(np.square(d).sum())
    return Differences(d.size, total, absolute, square, float(np.abs(d).max(initial=0.0)), bad)
