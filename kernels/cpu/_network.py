"""Which values to compare for the median of a window, for every voxel of a row at once.

Columns of the window are sorted, neighbouring columns merged (Batcher 1968), and the median is picked from the last two
lists without a merge. What is the same for the next voxel, one place further, is found once; what nobody asks for is
left out.
"""

from __future__ import annotations

from functools import cache
from typing import NamedTuple

import numpy as np
import numpy.typing as npt


class Value(NamedTuple):
    """A row of numbers, read ``shift`` places further."""

    name: int
    shift: int


class Program(NamedTuple):
    """Steps (T, 7): least to, most to (-1: not asked for), a, its shift, b, its shift, places beyond the row.

    All are numbers of wires, rows that hold a value until nobody reads it any more. The first are those of the column;
    ``result`` holds the medians.
    """

    steps: npt.NDArray[np.int64]
    wires: int
    result: int


@cache
def median_program(rows: int, width: int) -> Program:
    """For windows of ``width`` columns of ``rows`` values, both odd; the shortest of the ways to part the columns."""
    half = width // 2
    ways = [_Builder(rows, width, last).program() for last in (range(min(half, 1), half + 1) if half < 8 else (half,))]
    return min(ways, key=lambda p: int((p.steps[:, :2] >= 0).sum()))


class _Builder:
    """Steps as they are asked for, each once."""

    def __init__(self, rows: int, width: int, last: int) -> None:
        self.rows = rows
        self.steps: list[tuple[Value, Value]] = []
        self.known: dict[tuple[Value, Value], int] = {}
        self.lists: dict[int, list[Value]] = {1: self._sort([Value(i, 0) for i in range(rows)])}
        middle = rows * width // 2
        if last:
            self.result = self._pick(self._columns(width - last), _moved(self._columns(last), width - last), middle)
        else:
            self.result = self.lists[1][middle]

    def _columns(self, many: int) -> list[Value]:
        """The values of neighbouring columns, sorted."""
        if many not in self.lists:
            half = 1 << (many - 1).bit_length() - 1
            self.lists[many] = self._merge(self._columns(half), _moved(self._columns(many - half), half))
        return self.lists[many]

    def _sort(self, values: list[Value]) -> list[Value]:
        if len(values) < 2:
            return values
        half = len(values) // 2
        return self._merge(self._sort(values[:half]), self._sort(values[half:]))

    def _merge(self, a: list[Value], b: list[Value]) -> list[Value]:
        """One sorted list of two: those of odd places and those of even places, then neighbours."""
        if not a or not b:
            return a + b
        if len(a) == len(b) == 1:
            return list(self._compare(a[0], b[0]))
        odd, even = self._merge(a[::2], b[::2]), self._merge(a[1::2], b[1::2])
        merged = odd[:1]
        for one, other in zip(odd[1:], even, strict=False):
            merged += self._compare(one, other)
        return merged + odd[len(even) + 1 :] + even[len(odd) - 1 :]

    def _pick(self, a: list[Value], b: list[Value], k: int) -> Value:
        """Number ``k`` of both lists: the least of what is largest of any ``k + 1``, so many of each."""
        most = []
        for i in range(max(0, k + 1 - len(b)), min(k + 1, len(a)) + 1):
            j = k + 1 - i
            most.append(b[j - 1] if i == 0 else a[i - 1] if j == 0 else self._compare(a[i - 1], b[j - 1])[1])
        least = most[0]
        for one in most[1:]:
            least = self._compare(least, one)[0]
        return least

    def _compare(self, a: Value, b: Value) -> tuple[Value, Value]:
        """The smaller and the larger, of the same two values some places further the same step."""
        shift = min(a.shift, b.shift)
        key = Value(a.name, a.shift - shift), Value(b.name, b.shift - shift)
        if key not in self.known:
            self.known[key] = len(self.steps)
            self.steps.append(key)
        name = self.rows + 2 * self.known[key]
        return Value(name, shift), Value(name + 1, shift)

    def program(self) -> Program:
        """Steps that the result needs, and wires for their values."""
        beyond: dict[int, int] = {self.result.name: self.result.shift}
        last_use = {self.result.name: len(self.steps)}
        kept = []
        for t in range(len(self.steps) - 1, -1, -1):
            made = [n for n in (self.rows + 2 * t, self.rows + 2 * t + 1) if n in beyond]
            if not made:
                continue
            far = max(beyond[n] for n in made)
            kept.append((t, far))
            for value in self.steps[t]:
                beyond[value.name] = max(beyond.get(value.name, 0), far + value.shift)
                last_use.setdefault(value.name, t)
        return self._wired(kept[::-1], beyond, last_use)

    def _wired(self, kept: list[tuple[int, int]], beyond: dict[int, int], last_use: dict[int, int]) -> Program:
        wire = {name: name for name in range(self.rows)}
        free: list[int] = []
        wires, rows = self.rows, []
        for t, far in kept:
            a, b = self.steps[t]
            row = [wire[a.name], a.shift, wire[b.name], b.shift, far]
            free += [wire[name] for name in sorted({a.name, b.name}) if last_use[name] == t]
            made = []
            for name in (self.rows + 2 * t, self.rows + 2 * t + 1):
                if name not in beyond:
                    made.append(-1)
                    continue
                if not free:
                    free.append(wires)
                    wires += 1
                wire[name] = free.pop()
                made.append(wire[name])
            rows.append([*made, *row])
        return Program(np.array(rows, np.int64).reshape(-1, 7), wires, wire[self.result.name])


def _moved(values: list[Value], places: int) -> list[Value]:
    return [Value(v.name, v.shift + places) for v in values]
