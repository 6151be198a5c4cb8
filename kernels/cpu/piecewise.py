"""``out[k]``: the lines through the knots ``(xs[k], ys[k])``, the first and the last going on beyond.

Which line a voxel is on is how many starts it has passed: compared with all of them, as vectors, not searched for. Of a
type of 8 or 16 bits the answers to all its numbers are a table, where there are more voxels than numbers.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from fastprep.core.piecewise import segments
from fastprep.kernels.cpu._numba import compute_dtype, jit, put
from fastprep.kernels.cpu._pointwise import over_chunks

#: Starts compared with in one go, and voxels that wait in the first-level cache between two.
_AT_ONCE = 10
_BLOCK = 256


def piecewise(
    x: npt.NDArray[Any], out: npt.NDArray[Any], xs: npt.NDArray[np.float64], ys: npt.NDArray[np.float64]
) -> None:
    """``x`` (...), ``out`` (K, ...), ``xs`` and ``ys`` (K, P), ``xs`` increasing, NaN after a table's last knot."""
    width, wide = x.dtype.itemsize, out.dtype.itemsize
    if width > 2 or x.size < 4 << 8 * width:
        _compute(x, out, xs, ys)
        return
    every = np.arange(1 << 8 * width).astype(f"u{width}")
    answers = np.empty((len(xs), every.size), out.dtype)
    _compute(every if x.dtype.kind == "b" else every.view(x.dtype.newbyteorder("=")), answers, xs, ys)
    # Bits move, whatever they mean.
    bits = np.dtype(f"u{width}").newbyteorder(x.dtype.byteorder)
    over_chunks(_look_up, x.view(bits), out.view(f"u{wide}"), answers.view(f"u{wide}"))


def _compute(
    x: npt.NDArray[Any], out: npt.NDArray[Any], xs: npt.NDArray[np.float64], ys: npt.NDArray[np.float64]
) -> None:
    dtype = compute_dtype(x, out)
    starts, values, slopes, ends = segments(xs, ys, dtype)
    # The first line is below all other starts; nothing passes a start that is NaN.
    count = xs.shape[1] - 2
    others = np.full((len(xs), -(-count // _AT_ONCE) * _AT_ONCE), np.nan, dtype)
    others[:, :count] = starts[:, 1:-1]
    # As wide as the numbers compared: then one fits into the lane of the other.
    zero = np.dtype(f"i{dtype.itemsize}").type(0)
    over_chunks(_piecewise, x, out, (others, starts, values, slopes, ends, zero))


@jit
def _look_up(x: Any, out: Any, answers: Any) -> None:
    for k in range(len(answers)):
        row, answer = out[k], answers[k]
        for i in range(x.size):
            row[i] = answer[x[i]]


@jit
def _piecewise(x: Any, out: Any, tables: Any) -> None:
    others, starts, values, slopes, ends, zero = tables
    held, which = np.zeros(_BLOCK, starts.dtype), np.full(_BLOCK, zero)
    for begin in range(0, x.size, _BLOCK):
        some = x[begin : begin + _BLOCK]
        for k in range(len(starts)):
            _hold(some, ends[k, 0], ends[k, 1], held)
            which[:] = zero
            for j in range(0, others.shape[1], _AT_ONCE):
                _count(held, others[k, j : j + _AT_ONCE], zero, which)
            _follow(held, which, starts[k], values[k], slopes[k])
            _put(held[: some.size], out[k, begin : begin + _BLOCK])


@jit
def _hold(x: Any, low: Any, high: Any, held: Any) -> None:
    for i in range(x.size):
        # Comparisons are false for NaN, so it passes through.
        v = held.dtype.type(x[i])
        v = low if v < low else v
        held[i] = high if v > high else v


@jit
def _count(held: Any, starts: Any, zero: Any, which: Any) -> None:
    one = which.dtype.type(1)
    s0, s1, s2, s3, s4 = starts[0], starts[1], starts[2], starts[3], starts[4]
    s5, s6, s7, s8, s9 = starts[5], starts[6], starts[7], starts[8], starts[9]
    for i in range(_BLOCK):
        v, n = held[i], which[i]
        n += one if v >= s0 else zero
        n += one if v >= s1 else zero
        n += one if v >= s2 else zero
        n += one if v >= s3 else zero
        n += one if v >= s4 else zero
        n += one if v >= s5 else zero
        n += one if v >= s6 else zero
        n += one if v >= s7 else zero
        n += one if v >= s8 else zero
        n += one if v >= s9 else zero
        which[i] = n


@jit
def _follow(held: Any, which: Any, starts: Any, values: Any, slopes: Any) -> None:
    for i in range(_BLOCK):
        j = np.uint32(which[i])
        held[i] = values[j] + slopes[j] * (held[i] - starts[j])


@jit
def _put(values: Any, out: Any) -> None:
    for i in range(values.size):
        put(out, i, values[i])
