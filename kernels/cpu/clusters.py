"""The regions above a threshold, and what is known of each, from the runs of its rows."""

from __future__ import annotations

from typing import Any

import numpy.typing as npt

from fastprep.core.regions import Clusters, RegionTable, least_above
from fastprep.core.threads import run_slabs
from fastprep.kernels.cpu._numba import jit, native
from fastprep.kernels.cpu._runs import Int64, Runs, components
from fastprep.kernels.cpu._table import Table, add_run, add_values, lines, new_table, together

#: Rows that are worth a thread, and runs for each of its regions.
_ROWS, _RUNS = 1024, 8


def clusters(x: npt.NDArray[Any], threshold: float, connectivity: int, ceiling: float, scale: float) -> Clusters:
    """The components of ``x > threshold``, x (Z, Y, X) of any type of numbers, in C order of their first voxels.

    NaN is not above. `RegionTable` tells what ``ceiling`` and ``scale`` are; the runs are for ``paint``.
    """
    x = native(x)
    least = least_above(threshold, x.dtype)
    runs = Runs.none(x.shape) if least is None else Runs.above(x, least)
    component, count = components(runs, connectivity)
    return Clusters(_table(x, runs, component, count, ceiling, scale), (runs, component))


def _table(x: npt.NDArray[Any], runs: Runs, component: Int64, count: int, ceiling: float, scale: float) -> RegionTable:
    values, cap = lines(x), least_above(ceiling, x.dtype, equal=True)
    rows, ny = len(runs.first) - 1, runs.shape[1]
    found: list[Table] = []

    def slab(start: int, stop: int) -> None:
        table, extremes = new_table(count, runs.shape)
        _slab(values, *runs[:2], component, cap, float(scale), ny, start, stop, table, extremes)
        found.append((table, extremes))

    # Each slab has a table of all regions: not worth it where they are as many as the runs.
    run_slabs(slab, rows, smallest=max(_ROWS, _RUNS * rows * count // max(len(component), 1)))
    return together(found)


@jit
def _slab(
    x: Any,
    first: Any,
    ends: Any,
    component: Any,
    cap: Any,
    scale: float,
    ny: int,
    start: int,
    stop: int,
    table: Any,
    extremes: Any,
) -> None:
    for row in range(start, stop):
        z, y = row // ny, row % ny
        for i in range(first[row], first[row + 1]):
            k, begin, end = component[i], int(ends[i, 0]), int(ends[i, 1])
            add_run(table[k], z, y, begin, end)
            add_values(x, z, y, begin, end, cap, scale, table[k], extremes[k])
