"""Where values lie between two numbers: each voxel read once, and compared in its own dtype."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from fastprep.core.regions import least_above
from fastprep.core.threads import run_slabs
from fastprep.kernels.cpu._numba import inline, jit, source


def between(
    x: npt.NDArray[Any], mask: npt.NDArray[Any] | None, low: float, high: float, out: npt.NDArray[np.bool_]
) -> None:
    """``out = low < x < high`` where ``mask`` is not zero, everywhere without one: all (B, Z, Y, X)."""
    values, marks = source(x), None if mask is None else source(mask)
    answer, (planes, rows) = out.view(np.uint8), x.shape[1:3]
    ends = _ends(values.flat.dtype, low, high)
    if ends is None or x.size == 0:
        out[...] = False
        return

    def work(start: int, stop: int) -> None:
        _rows(values, marks or values, marks is not None, *ends, answer, planes, rows, start, stop)

    run_slabs(work, x.shape[0] * planes * rows)


def _ends(dtype: np.dtype[Any], low: float, high: float) -> tuple[Any, Any] | None:
    """The first and the last value of a type between two numbers; None where none is."""
    first, beyond = least_above(low, dtype), least_above(high, dtype, equal=True)
    if first is None or math.isnan(high):
        return None
    if dtype.kind == "f":
        return first, np.nextafter(beyond, dtype.type(-np.inf))
    info = np.iinfo(dtype)
    if beyond is None:
        return first, dtype.type(info.max)
    return None if beyond == info.min else (first, dtype.type(int(beyond) - 1))


@jit
def _rows(
    x: Any,
    mask: Any,
    masked: bool,
    first: Any,
    last: Any,
    out: Any,
    planes: int,
    rows: int,
    start: int,
    stop: int,
) -> None:
    for row in range(start, stop):
        b, z, y = row // (planes * rows), row // rows % planes, row % rows
        line = out[b, z, y]
        at = x.start + b * x.sb + z * x.sz + y * x.sy
        if x.sx == 1:
            _compare(x.flat[at : at + line.size], first, last, line)
        else:
            for i in range(line.size):
                value = x.flat[at + i * x.sx]
                line[i] = (value >= first) & (value <= last)
        if not masked:
            continue
        at = mask.start + b * mask.sb + z * mask.sz + y * mask.sy
        if mask.sx == 1:
            _narrow(mask.flat[at : at + line.size], line)
        else:
            for i in range(line.size):
                line[i] &= mask.flat[at + i * mask.sx] != 0


@inline
def _compare(values: Any, first: Any, last: Any, line: Any) -> None:
    for i in range(line.size):
        line[i] = np.uint8((values[i] >= first) & (values[i] <= last))


@inline
def _narrow(marks: Any, line: Any) -> None:
    for i in range(line.size):
        line[i] &= np.uint8(marks[i] != 0)
