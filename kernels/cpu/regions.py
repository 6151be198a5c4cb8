"""What is known of each region of a label volume, from one read of it and of the values.

A row is taken in runs of one label.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from fastprep.core.regions import RegionTable, least_above
from fastprep.core.threads import run_slabs
from fastprep.kernels.cpu._numba import jit
from fastprep.kernels.cpu._runs import row_of
from fastprep.kernels.cpu._table import Table, add_run, add_values, lines, new_table, together
from fastprep.kernels.cpu._words import WORD, first_bit, other_ones

#: Rows that are worth a thread.
_ROWS = 256


def regions(
    labels: npt.NDArray[Any], count: int, x: npt.NDArray[Any] | None, ceiling: float, scale: float
) -> RegionTable:
    """The table of labels 1 to ``count`` of ``labels`` (Z, Y, X), whole numbers or bool; others are ignored.

    The values are those of ``x``, of that shape and any type of numbers, or none; `RegionTable` tells what ``ceiling``
    and ``scale`` are.
    """
    nz, ny, nx = labels.shape
    marks, values, cap = lines(labels), None, None
    if x is not None:
        values = lines(x)
        cap = least_above(ceiling, values.flat.dtype, equal=True)
    found: list[Table] = []

    def slab(start: int, stop: int) -> None:
        table, extremes = new_table(count, labels.shape)
        _slab(marks, values, cap, float(scale), ny, nx, start, stop, table, extremes)
        found.append((table, extremes))

    run_slabs(slab, nz * ny, smallest=_ROWS)
    return together(found)


@jit
def _slab(
    labels: Any, x: Any, cap: Any, scale: float, ny: int, nx: int, start: int, stop: int, table: Any, extremes: Any
) -> None:
    room, count = np.empty(nx, labels.flat.dtype), table.shape[0]
    for row in range(start, stop):
        z, y = row // ny, row % ny
        marks = row_of(labels, z, y, nx, room)
        begin: Any = np.int64(0)  # a plain 0 is a type of its own, and what is called would be compiled for it, too
        while begin < nx:
            end = _until_other(marks, begin, nx)
            label = np.int64(marks[begin])
            if 0 < label <= count:
                add_run(table[label - 1], z, y, begin, end)
                if x is not None:
                    add_values(x, z, y, begin, end, cap, scale, table[label - 1], extremes[label - 1])
            begin = end


@jit
def _until_other(marks: Any, begin: int, stop: int) -> int:
    """Where the labels of a row are no longer that of ``begin``."""
    label, i = marks[begin], begin + 1
    if stop < WORD:
        while i < stop and marks[i] == label:
            i += 1
        return i
    while i < stop:
        # The last word begins earlier, so that it ends with the row.
        at = min(i, stop - WORD)
        word = other_ones(marks, at, label) >> np.uint64(i - at)
        if word != 0:
            return i + int(first_bit(word))
        i = at + WORD
    return stop
