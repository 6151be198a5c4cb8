"""Count, mean, squared deviations and extremes of the voxels inside a mask, each read once.

Of integers of 8 and 16 bits the sums are exact. Those of others are of sixteen lanes in each chunk, and chunks are put
together in their order: the same bits on any number of threads.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from fastprep.core.moments import Moments
from fastprep.kernels.cpu._chunks import buffers, chunk, over_chunks, voxels
from fastprep.kernels.cpu._lanes import summarise, summarise_all
from fastprep.kernels.cpu._numba import jit


def moments(x: npt.NDArray[Any], mask: npt.NDArray[Any] | None, between: tuple[float, float] | None) -> list[Moments]:
    """Of each volume of ``x`` (B, Z, Y, X) where ``mask`` of that shape is not zero, everywhere without one.

    Of those values only that lie between two numbers, neither of them included.
    """
    v = voxels(x, mask)
    exact = v.x.dtype.kind in "iu" and v.x.itemsize <= 2
    rows: Any = np.zeros((len(x), v.chunks, 6), np.int64 if exact else np.float64)
    low, high = _limits(v.x.dtype, between)
    narrowed = between is not None
    slab = _exact if exact else _floats if v.x.dtype.kind == "f" and not narrowed else _slab
    over_chunks(lambda start, stop: slab(v, low, high, narrowed, start, stop, rows.reshape(-1, 6)), len(x), v)
    return [(Moments.of_integers if exact else Moments.of_chunks)(r) for r in rows]


def _limits(dtype: np.dtype[Any], between: tuple[float, float] | None) -> tuple[Any, Any]:
    """The first and the last value between two, in the type they are compared in; the first larger if none is."""
    if dtype.kind in "iu" and dtype.itemsize <= 2:
        first, last = int(np.iinfo(dtype).min), int(np.iinfo(dtype).max)
        if between is None:
            return dtype.type(first), dtype.type(last)
        ends = [min(max(v, first - 1.0), last + 1.0) for v in between]
        least, most = max(math.floor(ends[0]) + 1, first), min(math.ceil(ends[1]) - 1, last)
        return (dtype.type(least), dtype.type(most)) if least <= most else (dtype.type(last), dtype.type(first))
    real = dtype if dtype == np.float32 else np.dtype(np.float64)
    top = np.finfo(real).max
    if between is None:
        return -top, top
    with np.errstate(over="ignore"):
        low, high = (real.type(v) for v in between)
    up, down = real.type(np.inf), real.type(-np.inf)
    low = low if float(low) > between[0] else np.nextafter(low, up)
    high = high if float(high) < between[1] else np.nextafter(high, down)
    return max(low, -top), min(high, top)


@jit
def _exact(v: Any, low: Any, high: Any, narrowed: bool, start: int, stop: int, rows: Any) -> None:
    room = buffers(v)
    for c in range(start, stop):
        values, marks = chunk(v, c, room)
        count, one, two, least, most, _ = summarise(values, marks, low, high, low)
        row = rows[c]
        row[0], row[1], row[2], row[3], row[4] = count, one, two, least, most


@jit
def _floats(v: Any, low: Any, high: Any, narrowed: bool, start: int, stop: int, rows: Any) -> None:
    room = buffers(v)
    for c in range(start, stop):
        values, marks = chunk(v, c, room)
        there = _count(marks)
        # As a rule all are finite, and that is known afterwards.
        if there > 0 and not _all_finite(values, marks, there, rows[c]):
            _some_finite(values, marks, low, high, narrowed, rows[c])


@jit
def _slab(v: Any, low: Any, high: Any, narrowed: bool, start: int, stop: int, rows: Any) -> None:
    room = buffers(v)
    for c in range(start, stop):
        values, marks = chunk(v, c, room)
        _some_finite(values, marks, low, high, narrowed, rows[c])


@jit
def _some_finite(values: Any, marks: Any, low: Any, high: Any, narrowed: bool, row: Any) -> None:
    center = _some(values, marks, low, high)
    count, one, two, least, most, inside = summarise(values, marks, low, high, center)
    m2 = two - one * one / count
    if one * one > 64.0 * count * m2:
        # The center was far off: what is left of the squares would be their rounding.
        center += one / count
        _, one, two, _, _, _ = summarise(values, marks, low, high, center)
        m2 = two - one * one / count
    if narrowed:
        inside = count + _odd(values, marks)
    row[0], row[1], row[2] = count, center * count + one, max(m2, 0.0)
    row[3], row[4], row[5] = least, most, inside - count


@jit
def _count(marks: Any) -> Any:
    """How many marks are not zero."""
    count = np.int32(0)
    for i in range(marks.size):
        count = np.int32(count + np.int32(marks[i] != 0))
    return count


@jit
def _all_finite(values: Any, marks: Any, count: int, row: Any) -> bool:
    """The row of a chunk whose values with a mark are all finite and lie near one of them; false if not so."""
    at = 0
    while marks[at] == 0:
        at += 1
    center = values[at]
    one, two, least, most = summarise_all(values, marks, center)
    m2 = two - one * one / count
    # Not of NaN either.
    if not (two < np.inf and one * one <= 64.0 * count * m2):
        return False
    row[0], row[1], row[2] = count, np.float64(center) * count + one, max(m2, 0.0)
    row[3], row[4], row[5] = least, most, 0
    return True


@jit
def _some(values: Any, marks: Any, low: Any, high: Any) -> float:
    """The first value that counts, near which the others are, or 0."""
    for i in range(values.size):
        if marks[i] != 0 and low <= values[i] <= high:
            return np.float64(values[i])
    return 0.0


@jit
def _odd(values: Any, marks: Any) -> int:
    """How many are inside and not finite."""
    count = 0
    for i in range(values.size):
        v = np.float64(values[i])
        count += marks[i] != 0 and not abs(v) < np.inf
    return count
