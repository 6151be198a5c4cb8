"""Types that scans seldom have go through a copy in the type computed in, so that kernels need not know every pair.

That type holds all of the numbers and rounds none of them, so the bits of the result are those of one pass.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np
import numpy.typing as npt

from fastprep.core.device_view import DeviceView, DType
from fastprep.kernels.gpu._launch import merged, scratch
from fastprep.kernels.gpu._types import READ, WRITTEN, compute_type, read_type, written_type

#: Before and after what every launcher does itself.
_FIRST, _LAST = -1, 9

#: Launches that copy an array into one of its shape and another type, at a stage.
Copy = Callable[[DeviceView, DeviceView, int], None]


@contextmanager
def common(x: DeviceView, out: DeviceView, copy: Copy) -> Iterator[tuple[DeviceView, DeviceView]]:
    """``x`` and ``out`` in types of `READ` and `WRITTEN`: themselves, or copies made before and after."""
    reads, writes = read_type(x.dtype), written_type(out.dtype)
    real = compute_type(reads, writes)
    with merged():
        given, made = x, out
        if reads not in READ:
            given = scratch(x, x.shape, real)
            copy(x, given, _FIRST)
        if writes not in WRITTEN:
            made = scratch(out, out.shape, real)
        yield given, made
        if made is not out:
            copy(made, out, _LAST)


def settled(outside: npt.NDArray[np.float64], dtype: DType) -> npt.NDArray[np.float64]:
    """Fills as a narrow result holds them: a copy in float32 on the way would round them twice."""
    held = outside
    if dtype.kind == "b":
        held = (outside != 0).astype(np.float64)
    elif dtype.name == "int8":
        held = np.rint(np.clip(outside, -128, 127))
    return held
