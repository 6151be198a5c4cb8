"""The table of regions while it is made, run by run: sums of integers, so that slabs add up to one in any order."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from numba.core import types
from numba.extending import overload

from fastprep.core.regions import LARGEST, LOW_BITS, RegionTable
from fastprep.kernels.cpu._numba import inline, jit, source

_LOW = (1 << LOW_BITS) - 1
# Columns of a table: z, y, x of each, then the parts of the sum.
_VOXELS, _FIRST, _LAST, _SUM, _HIGH, _LOWER, _CAPPED, _COLUMNS = 0, 1, 4, 7, 10, 11, 12, 13

#: Integers (K, columns), and the extremes of the values (K, 2).
Table = tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]


class Lines(NamedTuple):
    """Rows of a volume: flat memory, first element, steps of (z, y, x)."""

    flat: Any
    start: int
    sz: int
    sy: int
    sx: int


def lines(x: npt.NDArray[Any]) -> Lines:
    """The rows of ``x`` (Z, Y, X), in a type that Numba has."""
    flat, start, _, sz, sy, sx = source(x[None])
    return Lines(flat, start, sz, sy, sx)


def new_table(count: int, shape: tuple[int, ...]) -> Table:
    """Of ``count`` regions of a volume, nothing seen yet."""
    table, extremes = np.zeros((count, _COLUMNS), np.int64), np.empty((count, 2))
    table[:, _FIRST:_LAST] = max(shape)
    extremes[:] = np.inf, -np.inf
    return table, extremes


def together(found: list[Table]) -> RegionTable:
    """The tables of all slabs as one."""
    table, extremes = found[0]
    for other, its_extremes in found[1:]:
        first = np.minimum(table[:, _FIRST:_LAST], other[:, _FIRST:_LAST])
        last = np.maximum(table[:, _LAST:_SUM], other[:, _LAST:_SUM])
        table += other
        table[:, _FIRST:_LAST], table[:, _LAST:_SUM] = first, last
        np.minimum(extremes[:, 0], its_extremes[:, 0], out=extremes[:, 0])
        np.maximum(extremes[:, 1], its_extremes[:, 1], out=extremes[:, 1])
    voxels = table[:, _VOXELS].copy()
    table[voxels == 0, _FIRST:_LAST] = 0
    box = np.stack([table[:, _FIRST:_LAST], table[:, _LAST:_SUM]], axis=-1)
    high, low, capped = (table[:, column].copy() for column in (_HIGH, _LOWER, _CAPPED))
    least, most = (column.copy() for column in extremes.T)
    return RegionTable(voxels, box, table[:, _SUM:_HIGH].copy(), high, low, least, most, capped)


@inline
def add_run(row: Any, z: int, y: int, begin: int, end: int) -> None:
    """A run of voxels to the row of its region."""
    n = end - begin
    row[_VOXELS] += n
    row[_FIRST] = min(row[_FIRST], z)
    row[_FIRST + 1] = min(row[_FIRST + 1], y)
    row[_FIRST + 2] = min(row[_FIRST + 2], begin)
    row[_LAST] = max(row[_LAST], z + 1)
    row[_LAST + 1] = max(row[_LAST + 1], y + 1)
    row[_LAST + 2] = max(row[_LAST + 2], end)
    row[_SUM] += z * n
    row[_SUM + 1] += y * n
    row[_SUM + 2] += (begin + end - 1) * n // 2


@jit
def add_values(x: Any, z: int, y: int, begin: int, end: int, cap: Any, scale: float, row: Any, extremes: Any) -> None:
    """The values of a run of `Lines` to the row of its region; those from ``cap`` on are capped, none without one."""
    base = x.start + z * x.sz + y * x.sy
    high, low, capped = np.int64(0), np.int64(0), 0
    least, most = extremes[0], extremes[1]
    for i in range(begin, end):
        v = x.flat[base + i * x.sx]
        whole = _whole(v, scale)
        high += np.int64(whole >> LOW_BITS)
        low += np.int64(whole & _LOW)
        if cap is not None:
            capped += v >= cap
        w = np.float64(v)
        least, most = w if w < least else least, w if w > most else most
    row[_HIGH] += high
    row[_LOWER] += low
    row[_CAPPED] += capped
    extremes[0], extremes[1] = least, most


def _whole(v: Any, scale: float) -> Any:
    """The integer of a value."""
    msg = "compiled code only"
    raise AssertionError(msg)


@overload(_whole)  # type: ignore[untyped-decorator]
def _of_type(v: Any, scale: float) -> Any:

    def of_integer(v: Any, scale: float) -> Any:
        return v

    def of_float(v: Any, scale: float) -> Any:
        scaled = np.float64(v) * scale
        if scaled != scaled:
            return np.int64(0)
        return np.int64(np.rint(min(max(scaled, -LARGEST), LARGEST)))

    return of_integer if isinstance(v, types.Integer) else of_float
