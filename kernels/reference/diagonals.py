"""The size of the finest diagonal detail of a volume: of what is left where neighbours agree along every axis."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from fastprep.core.noise import DB2


def diagonals(x: npt.NDArray[Any], out: npt.NDArray[np.float32]) -> None:
    """``out`` (B, mz, my, mx): the size of the db2 detail of ``x`` (B, Z, Y, X), of every second window inside it.

    Axes along which ``out`` is as long as ``x`` take no part. Exactly 0 where ``x`` is constant along any other.
    """
    detail = x.astype(np.float64)
    for axis in (1, 2, 3):
        m = out.shape[axis]
        if m < x.shape[axis]:
            first, *others = (_every_second(detail, axis, k, m) for k in range(4))
            # The taps sum to 0: of differences, so that what is constant leaves no rounding.
            detail = np.sum([g * (v - first) for g, v in zip(DB2[1:], others, strict=True)], axis=0)
    out[...] = np.abs(detail)


def _every_second(x: npt.NDArray[np.float64], axis: int, start: int, count: int) -> npt.NDArray[np.float64]:
    where = [slice(None)] * 4
    where[axis] = slice(start, start + 2 * count - 1, 2)
    return x[tuple(where)]
