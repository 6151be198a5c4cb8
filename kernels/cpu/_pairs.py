"""Two arrays read side by side, in one type: a kernel is compiled for few types, not for every two of them."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from fastprep.kernels.cpu._numba import native

_AS_THEY_ARE = ("uint8", "int16", "uint16", "float32", "float64")


def alike(a: npt.NDArray[Any], b: npt.NDArray[Any]) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
    """Both in one type that holds every value of either (of integers beyond 2**53 the nearest); copied where not so."""
    a, b = native(a), native(b)
    if a.dtype == b.dtype and a.dtype.name in _AS_THEY_ARE:
        return a, b
    narrow = all(x.dtype == np.float32 or (x.dtype.kind in "iu" and x.itemsize <= 2) for x in (a, b))
    common = np.float32 if narrow else np.float64
    return a.astype(common, copy=False), b.astype(common, copy=False)
