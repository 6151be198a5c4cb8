"""Which bin of a histogram each value of a line is in, as vector loops."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from numba.core import types
from numba.extending import overload

from fastprep.kernels.cpu._numba import jit

#: Most whole numbers whose bins are found in one multiplication.
_NARROW = 1 << 16


class Rule(NamedTuple):
    """Equal bins from low to high, as compiled code takes them."""

    bins: int
    #: Of whole numbers: the lowest, the highest, how many there are; of floats unused.
    first: int
    last: int
    n: int
    #: ``d * bins // n`` is ``d * factor >> 32`` of numbers d so few as those of ``narrow``.
    narrow: bool
    factor: int
    #: Whether each whole number has its own bin.
    exact: bool
    #: Of floats: where bins begin, and how many there are to a unit.
    low: float
    scale: float


def rule_of(dtype: np.dtype[Any], bins: int, low: float, high: float) -> Rule:
    """The rule for values of a type."""
    if dtype.kind == "f":
        return Rule(bins, 0, 0, 1, False, 0, False, float(low), bins / (float(high) - float(low)))
    first, last = int(low), int(high)
    n = last - first + 1
    narrow = dtype.itemsize <= 2 and n <= _NARROW and abs(first) < 1 << 30
    return Rule(bins, first, last, n, narrow, -(-(bins << 32) // n) if narrow else 0, n == bins, 0.0, 0.0)


def readable(x: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """``x`` without numbers beyond int64, which are the highest of any range."""
    if x.dtype.kind == "u" and x.itemsize == 8:
        return np.asarray(np.minimum(x, np.array(2**62, np.uint64)), np.int64)
    return x


@jit
def line_of(flat: Any, base: int, step: int, n: int, room: Any) -> Any:
    """``n`` values from ``flat[base]`` on, where they lie if they lie side by side, else as a copy in ``room``."""
    if step == 1:
        return flat[base : base + n]
    for i in range(n):
        room[i] = flat[base + i * step]
    return room[:n]


def bin_line(line: Any, rule: Any, index: Any) -> None:
    """``index[i]``, uint32, the bin of each value of a line; ``rule.bins`` of what is not finite."""
    msg = "compiled code only"
    raise AssertionError(msg)


def fill_line(line: Any, rule: Any, index: Any, filled: Any) -> None:
    """The same with any bin for what is not finite, and the part of its bin that each value fills."""
    msg = "compiled code only"
    raise AssertionError(msg)


@overload(bin_line)  # type: ignore[untyped-decorator]
def _bin_line(line: Any, rule: Any, index: Any) -> Any:
    if isinstance(line.dtype, types.Integer):

        def of_integers(line: Any, rule: Any, index: Any) -> None:
            if not rule.narrow:
                for i in range(line.size):
                    d = min(max(np.int64(line[i]), rule.first), rule.last) - rule.first
                    index[i] = np.uint32(d * rule.bins // rule.n)
                return
            first, top = np.int32(rule.first), np.int32(rule.n - 1)
            if rule.exact:
                for i in range(line.size):
                    index[i] = np.uint32(min(max(np.int32(np.int32(line[i]) - first), np.int32(0)), top))
                return
            factor = np.uint64(rule.factor)
            for i in range(line.size):
                d = np.uint32(min(max(np.int32(np.int32(line[i]) - first), np.int32(0)), top))
                index[i] = np.uint32(np.uint64(d) * factor >> np.uint64(32))

        return of_integers

    def of_floats(line: Any, rule: Any, index: Any) -> None:
        low, scale, most = rule.low, rule.scale, np.float64(rule.bins)
        last, none = np.int32(rule.bins - 1), np.int32(rule.bins)
        for i in range(line.size):
            v = np.float64(line[i])
            at = (v - low) * scale
            at = at if at > 0.0 else 0.0
            at = at if at < most else most
            k = min(np.int32(at), last)
            index[i] = np.uint32(k if abs(v) < np.inf else none)

    return of_floats


@overload(fill_line)  # type: ignore[untyped-decorator]
def _fill_line(line: Any, rule: Any, index: Any, filled: Any) -> Any:
    if isinstance(line.dtype, types.Integer):

        def of_integers(line: Any, rule: Any, index: Any, filled: Any) -> None:
            whole = np.float32(rule.n)
            if not rule.narrow:
                for i in range(line.size):
                    d = min(max(np.int64(line[i]), rule.first), rule.last) - rule.first
                    k = d * rule.bins // rule.n
                    index[i] = np.uint32(k)
                    filled[i] = np.float32(min(d * rule.bins - k * rule.n + rule.bins, rule.n)) / whole
                return
            first, top = np.int32(rule.first), np.int32(rule.n - 1)
            factor, many, bins = np.uint64(rule.factor), np.int32(rule.n), np.int32(rule.bins)
            for i in range(line.size):
                d = np.uint32(min(max(np.int32(np.int32(line[i]) - first), np.int32(0)), top))
                k = np.uint32(np.uint64(d) * factor >> np.uint64(32))
                # Modulo 2**32, which the rest is less than.
                rest = np.int32(np.int32(np.int32(d) * bins) - np.int32(np.int32(k) * many))
                index[i] = k
                filled[i] = np.float32(min(np.int32(rest + bins), many)) / whole

        return of_integers

    def of_floats(line: Any, rule: Any, index: Any, filled: Any) -> None:
        low, scale, most = rule.low, rule.scale, np.float64(rule.bins)
        last = np.int32(rule.bins - 1)
        for i in range(line.size):
            at = (np.float64(line[i]) - low) * scale
            at = at if at > 0.0 else 0.0
            at = at if at < most else most
            k = min(np.int32(at), last)
            index[i] = np.uint32(k)
            filled[i] = np.float32(at - np.float64(k))

    return of_floats


def mark_odd(line: Any, marks: Any) -> bool:
    """Marks what is not finite; whether anything is."""
    msg = "compiled code only"
    raise AssertionError(msg)


@overload(mark_odd)  # type: ignore[untyped-decorator]
def _mark_odd(line: Any, marks: Any) -> Any:
    if isinstance(line.dtype, types.Integer):

        def of_integers(line: Any, marks: Any) -> bool:
            return False

        return of_integers

    def of_floats(line: Any, marks: Any) -> bool:
        odd = np.int32(0)
        for i in range(line.size):
            odd = np.int32(odd + np.int32(not abs(line[i]) < np.inf))
        if odd == 0:
            return False
        for i in range(line.size):
            marks[i] |= np.uint8(not abs(line[i]) < np.inf)
        return True

    return of_floats
