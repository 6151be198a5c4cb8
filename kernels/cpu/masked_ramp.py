"""A Ramp inside a mask; outside it one value, or what was there: one read of both, one write."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from fastprep.core.threads import run_slabs
from fastprep.kernels.cpu._half import cast
from fastprep.kernels.cpu._numba import as_compute, compute_dtype, jit, native, put, read_only
from fastprep.kernels.cpu._pointwise import CHUNK


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
    five = as_compute(np.append(ramp, 0.0 if outside is None else outside), compute_dtype(x, out))
    if x.flags.c_contiguous and mask.flags.c_contiguous:
        x, mask, out = x.reshape(-1), mask.reshape(-1), out.reshape(-1)
    while x.ndim > 1 and len(x) == 1:
        x, mask, out = x[0], mask[0], out[0]
    # What has no flat view is copied one slice of the first axis at a time, never whole.
    many = CHUNK if x.ndim == 1 else 1

    def work(start: int, stop: int) -> None:
        for at in range(start, stop, many):
            part = slice(at, min(at + many, stop))
            piece = out[part]
            half = piece.dtype == np.float16
            line = np.empty(piece.size, np.float32) if half else piece.reshape(-1)
            _line(_flat(x[part]), _marks(mask[part]), five, outside is None, line)
            if half:
                cast(line.reshape(piece.shape), piece)

    run_slabs(work, len(x), smallest=many)


def _flat(x: npt.NDArray[Any]) -> npt.NDArray[Any]:
    return read_only(np.ascontiguousarray(native(x)).reshape(-1))


def _marks(mask: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """A mask as its bytes, so that the loop is compiled for one type."""
    return _flat(mask.view(np.uint8) if mask.itemsize == 1 else mask != 0)


@jit
def _line(x: Any, marks: Any, five: Any, keep: bool, out: Any) -> None:
    a, b, lo, hi, outside = five[0], five[1], five[2], five[3], five[4]
    # Two loops with one choice each: as one they are no vector loop.
    if keep:
        for i in range(out.size):
            value = five.dtype.type(x[i])
            y = a * value + b
            y = lo if y < lo else y
            y = hi if y > hi else y
            y = y if marks[i] != 0 else value
            put(out, i, y)
        return
    for i in range(out.size):
        y = a * five.dtype.type(x[i]) + b
        y = lo if y < lo else y
        y = hi if y > hi else y
        y = y if marks[i] != 0 else outside
        put(out, i, y)
