"""Runs: where a mask is not zero, row by row, and which of them touch.

Union-find over runs takes no volume of labels.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from fastprep.core.threads import num_threads, run_slabs
from fastprep.kernels.cpu._numba import inline, jit, load_eight

#: Rows that are worth a thread.
_ROWS = 2048
# A byte of 0 or more, and what its highest bit becomes by adding to its lower seven.
_LOW, _HIGH, _ONES = np.uint64(0x7F7F7F7F7F7F7F7F), np.uint64(0x8080808080808080), np.uint64(0x0101010101010101)
# The lowest bit of byte k, times this, has k in its highest byte.
_WHICH = np.uint64(0x0001020304050607)


class Runs(NamedTuple):
    """Of a volume (Z, Y, X), in C order: row r = z Y + y has the runs first[r] <= i < first[r + 1].

    Run i is begin[i] <= x < end[i], and runs of a row do not touch.
    """

    first: npt.NDArray[np.int64]
    begin: npt.NDArray[np.int32]
    end: npt.NDArray[np.int32]
    shape: tuple[int, ...]

    @classmethod
    def of(cls, mask: npt.NDArray[Any]) -> Runs:
        """Where ``mask`` (Z, Y, X) is not zero."""
        marks = np.ascontiguousarray(mask if mask.dtype.itemsize == 1 else mask != 0).view(np.uint8).ravel()
        nx = mask.shape[2]
        return cls.filled(mask.shape, lambda *slab: _find(marks, nx, *slab))

    @classmethod
    def filled(cls, shape: tuple[int, ...], find: Any) -> Runs:
        """``find(row, stop, first, begin, end, write)`` counts the runs of row r into first[r + 1], and then writes."""
        rows = shape[0] * shape[1]
        first, none = np.zeros(rows + 1, np.int64), np.empty(0, np.int32)
        run_slabs(lambda start, stop: find(start, stop, first, none, none, False), rows, smallest=_ROWS)
        np.cumsum(first, out=first)
        begin, end = np.empty(first[-1], np.int32), np.empty(first[-1], np.int32)
        run_slabs(lambda start, stop: find(start, stop, first, begin, end, True), rows, smallest=_ROWS)
        return cls(first, begin, end, tuple(shape))


def components(runs: Runs, connectivity: int) -> npt.NDArray[np.int64]:
    """The component of each run, as the number of its first run; ``connectivity`` 1 by faces, 2 edges, 3 corners.

    Run i of component i holds the component's first voxel, and components in the order of i are in C order of those.
    """
    rows, ny = len(runs.first) - 1, runs.shape[1]
    parent = np.arange(len(runs.begin))
    pieces = max(1, min(num_threads(), rows // _ROWS))
    cuts = [rows * i // pieces for i in range(pieces + 1)]

    def work(start: int, stop: int) -> None:
        for low, high in pairwise(cuts[start : stop + 1]):
            _join(*runs[:3], ny, connectivity, low, high, low, high, parent)

    run_slabs(work, pieces)
    for cut in cuts[1:-1]:
        _join(*runs[:3], ny, connectivity, cut, min(cut + ny + 1, rows), 0, cut, parent)
    _flatten(parent)
    return parent


@jit
def _find(marks: Any, nx: int, start: int, stop: int, first: Any, begin: Any, end: Any, write: bool) -> None:
    for row in range(start, stop):
        base, n = row * nx, first[row]
        count, last = 0, base + nx
        i = _until(marks, base, last, True)
        while i < last:
            j = _until(marks, i + 1, last, False)
            if write:
                begin[n + count], end[n + count] = i - base, j - base
            count += 1
            i = _until(marks, j + 1, last, True)
        if not write:
            first[row + 1] = count


@inline
def _until(marks: Any, i: int, stop: int, wanted: bool) -> int:
    """The first voxel from i on that is set, or is not; ``stop`` or beyond where there is none."""
    same = np.uint64(0) if wanted else _ONES
    while i + 8 <= stop:
        word = load_eight(marks, i)
        differs = ((((word & _LOW) + _LOW) | word) & _HIGH) >> np.uint64(7) ^ same
        if differs != 0:
            lowest = differs & (~differs + np.uint64(1))
            return i + int((lowest * _WHICH) >> np.uint64(56))
        i += 8
    while i < stop and (marks[i] != 0) != wanted:
        i += 1
    return i


@jit
def _join(
    first: Any,
    begin: Any,
    end: Any,
    ny: int,
    connectivity: int,
    start: int,
    stop: int,
    low: int,
    high: int,
    parent: Any,
) -> None:
    """Rows ``start <= row < stop`` with their neighbours of ``low <= row < high`` that come before them."""
    for row in range(start, stop):
        if first[row] == first[row + 1]:
            continue
        z, y = row // ny, row % ny
        if y > 0 and low <= row - 1 < high:
            _meet(first, begin, end, row, row - 1, connectivity > 1, parent)
        if z == 0:
            continue
        for dy in range(-1, 2):
            steps, other = 1 + abs(dy), row - ny + dy
            if steps <= connectivity and 0 <= y + dy < ny and low <= other < high:
                _meet(first, begin, end, row, other, connectivity > steps, parent)


@jit
def _meet(first: Any, begin: Any, end: Any, row: int, other: int, near: int, parent: Any) -> None:
    """Join the runs of two rows that overlap, or with ``near`` come next to each other."""
    i, i_stop, j, j_stop = first[row], first[row + 1], first[other], first[other + 1]
    while i < i_stop and j < j_stop:
        if begin[i] < end[j] + near and begin[j] < end[i] + near:
            _unite(parent, i, j)
        if end[i] < end[j]:
            i += 1
        else:
            j += 1


@jit
def _unite(parent: Any, i: int, j: int) -> None:
    a, b = _root(parent, i), _root(parent, j)
    if a < b:
        parent[b] = a
    else:
        parent[a] = b


@jit
def _root(parent: Any, i: int) -> int:
    while parent[i] != i:
        parent[i] = parent[parent[i]]
        i = parent[i]
    return i


@jit
def _flatten(parent: Any) -> None:
    # No parent comes after its run, so each has found its root already.
    for i in range(parent.size):
        parent[i] = parent[parent[i]]
