"""Runs: where values are large enough, row by row, and which of them touch.

Union-find over runs takes no volume of labels, and each voxel is looked at once.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from fastprep.core.threads import num_threads, run_slabs
from fastprep.kernels.cpu._numba import jit, source
from fastprep.kernels.cpu._words import WORD, first_bit, large_ones

#: Rows that are worth a thread.
_ROWS = 2048
#: Rows that are shorter have ends that an int32 holds.
_NARROW = 2**31
_NOTHING, _EVERYTHING = np.uint64(0), np.uint64(2**64 - 1)

Int64 = npt.NDArray[np.int64]


class Runs(NamedTuple):
    """Of a volume (Z, Y, X), in C order: row r = z Y + y has the runs first[r] <= i < first[r + 1].

    Run i is ends[i, 0] <= x < ends[i, 1], and runs of a row do not touch.
    """

    first: Int64
    ends: npt.NDArray[Any]
    shape: tuple[int, ...]

    @classmethod
    def of(cls, mask: npt.NDArray[Any], *, complement: bool = False) -> Runs:
        """Where ``mask`` (Z, Y, X), bytes, is not zero, or where it is."""
        return cls.above(mask.view(np.uint8), np.uint8(1), complement=complement)

    @classmethod
    def none(cls, shape: tuple[int, ...]) -> Runs:
        """Nowhere."""
        return cls(np.zeros(shape[0] * shape[1] + 1, np.int64), np.empty((0, 2), np.int32), shape)

    @classmethod
    def above(cls, x: npt.NDArray[Any], least: Any, *, complement: bool = False) -> Runs:
        """Where ``x >= least`` (Z, Y, X), both of one type that Numba has, or where it is not."""
        v = source(x[None])
        nz, ny, nx = x.shape
        first, parts = np.zeros(nz * ny + 1, np.int64), {}
        none = np.empty(0, np.int32 if nx < _NARROW else np.int64)
        flip = _EVERYTHING if complement else _NOTHING

        def slab(start: int, stop: int) -> None:
            parts[start] = _scan(v, ny, nx, least, flip, start, stop, first, none)

        run_slabs(slab, nz * ny, smallest=_ROWS)
        np.cumsum(first, out=first)
        ends = np.concatenate([parts[start] for start in sorted(parts)])
        return cls(first, ends.reshape(-1, 2), x.shape)


def components(runs: Runs, connectivity: int, *, planar: bool = False) -> tuple[Int64, int]:
    """The component of each run, and how many there are, numbered from 0 in the C order of their first voxels.

    Runs touch by faces, from connectivity 2 on by edges, with 3 by corners; with ``planar`` within a plane only.
    """
    rows, ny = len(runs.first) - 1, runs.shape[1]
    parent = np.arange(len(runs.ends))
    pieces = max(1, min(num_threads(), rows // _ROWS))
    cuts = [rows * i // pieces for i in range(pieces + 1)]

    def work(start: int, stop: int) -> None:
        for low, high in pairwise(cuts[start : stop + 1]):
            _join(runs.first, runs.ends, ny, connectivity, planar, low, high, low, high, parent)

    run_slabs(work, pieces)
    for cut in cuts[1:-1]:
        _join(runs.first, runs.ends, ny, connectivity, planar, cut, min(cut + ny + 1, rows), 0, cut, parent)
    return parent, _number(parent)


def sizes(runs: Runs, component: Int64, count: int) -> Int64:
    """``(count,)`` voxels of each component."""
    return _sizes(runs.ends, component, count)  # type: ignore[no-any-return]


def write(runs: Runs, component: Int64, values: npt.NDArray[Any], rest: Any, out: npt.NDArray[Any]) -> None:
    """``values`` of each component into its voxels of ``out`` (Z, Y, X), and ``rest`` elsewhere; all of one type."""
    nz, ny, _ = runs.shape

    def slab(start: int, stop: int) -> None:
        _write(runs.first, runs.ends, component, values, rest, ny, start, stop, out)

    run_slabs(slab, nz * ny, smallest=_ROWS)


@jit
def _scan(v: Any, ny: int, nx: int, least: Any, flip: Any, start: int, stop: int, first: Any, none: Any) -> Any:
    """The ends of the runs of some rows, and how many each has into ``first[row + 1]``."""
    line = np.empty(max(nx, WORD), v.flat.dtype)
    ends, n = np.empty(4 * (stop - start) + nx + 1, none.dtype), 0
    for row in range(start, stop):
        if ends.size - n <= nx:
            ends = _more(ends, n, nx)
        values, begin, last = row_of(v, row // ny, row % ny, nx, line), n, np.uint64(0)
        for at in range(0, nx, WORD):
            left = nx - at
            if left >= WORD:
                word = large_ones(values, at, least) ^ flip
            else:
                # A word that ends where the row does, as long as there are values enough.
                back = min(WORD - left, at)
                word = (large_ones(values, at - back, least) ^ flip) >> np.uint64(back)
                word &= (np.uint64(1) << np.uint64(left)) - np.uint64(1)
            changes = word ^ (word << np.uint64(1) | last)
            last = word >> np.uint64(WORD - 1)
            while changes != 0:
                ends[n] = at + first_bit(changes)
                n += 1
                changes &= changes - np.uint64(1)
        if (n - begin) % 2:
            ends[n] = nx
            n += 1
        first[row + 1] = (n - begin) // 2
    return ends[:n]


@jit
def row_of(v: Any, z: int, y: int, nx: int, line: Any) -> Any:
    """The values of a row where they lie, or as a copy in ``line``: so where they are no word."""
    base = v.start + z * v.sz + y * v.sy
    if v.sx == 1 and nx >= WORD:
        return v.flat[base : base + nx]
    for i in range(nx):
        line[i] = v.flat[base + i * v.sx]
    return line


@jit
def _more(ends: Any, n: int, room: int) -> Any:
    larger = np.empty(2 * ends.size + room + 1, ends.dtype)
    larger[:n] = ends[:n]
    return larger


@jit
def _join(
    first: Any,
    ends: Any,
    ny: int,
    connectivity: int,
    planar: bool,
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
            _meet(first, ends, row, row - 1, connectivity > 1, parent)
        if z == 0 or planar:
            continue
        for dy in range(-1, 2):
            steps, other = 1 + abs(dy), row - ny + dy
            if steps <= connectivity and 0 <= y + dy < ny and low <= other < high:
                _meet(first, ends, row, other, connectivity > steps, parent)


@jit
def _meet(first: Any, ends: Any, row: int, other: int, near: int, parent: Any) -> None:
    """Join the runs of two rows that overlap, or with ``near`` come next to each other."""
    i, i_stop, j, j_stop = first[row], first[row + 1], first[other], first[other + 1]
    while i < i_stop and j < j_stop:
        if ends[i, 0] < ends[j, 1] + near and ends[j, 0] < ends[i, 1] + near:
            _unite(parent, i, j)
        if ends[i, 1] < ends[j, 1]:
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
def _number(parent: Any) -> int:
    """Parents become the numbers of components: none comes after its run, and the first run holds the first voxel."""
    count = 0
    for i in range(parent.size):
        if parent[i] == i:
            parent[i] = count
            count += 1
        else:
            parent[i] = parent[parent[i]]
    return count


@jit
def _sizes(ends: Any, component: Any, count: int) -> Any:
    found = np.zeros(count, np.int64)
    for i in range(component.size):
        found[component[i]] += ends[i, 1] - ends[i, 0]
    return found


@jit
def _write(
    first: Any, ends: Any, component: Any, values: Any, rest: Any, ny: int, start: int, stop: int, out: Any
) -> None:
    for row in range(start, stop):
        line = out[row // ny, row % ny]
        line[:] = rest
        for i in range(first[row], first[row + 1]):
            line[ends[i, 0] : ends[i, 1]] = values[component[i]]
