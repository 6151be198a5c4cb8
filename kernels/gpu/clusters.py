"""The regions above a threshold, and what is known of each.

Where few voxels are above it this waits for the device once, when all is done: for the table. Else it waits for the
number of runs and for that of regions, too.
"""

from __future__ import annotations

import numpy as np

from fastprep.core.device_view import DeviceView
from fastprep.core.regions import Clusters
from fastprep.kernels.gpu._compile import driver
from fastprep.kernels.gpu._launch import scratch
from fastprep.kernels.gpu._regions import ROW, VALUES, computed_in, least_of, table_of, values_of
from fastprep.kernels.gpu._runs import THREADS as THREADS
from fastprep.kernels.gpu._runs import Runs, most_runs, one_volume
from fastprep.kernels.gpu._types import job
from fastprep.kernels.gpu.counts import clear

INSTANCES = ("clusters<int64>", "clusters<float64>")
_JOB = job(f"P{VALUES}ii")
#: Runs there is room for before their number is known, and regions that are read with it.
_FEW, _AT_ONCE = 32768, 255
#: Runs that a warp takes at once; it takes so many times that where there are many.
_RUNS, _TURNS = 4, 16


def clusters(x: DeviceView, threshold: float, connectivity: int, ceiling: float, scale: float) -> Clusters:
    """The components of ``x > threshold``, x (Z, Y, X) of any type of numbers, in C order of their first voxels.

    NaN is not above. `RegionTable` tells what ``ceiling`` and ``scale`` are; the runs are for ``paint``.
    """
    if x.size == 0:
        return Clusters(table_of(np.zeros((0, ROW), np.int64)), None)
    few = min(_FEW, most_runs(x.shape))
    memory = x

    def room() -> DeviceView:
        nonlocal memory
        memory = scratch(x, (ROW + ROW * few,), "int64")
        return memory[:2]

    runs = Runs(one_volume(x), least_of(x, threshold), connectivity, room=room)
    table, values = memory[ROW:], values_of(x, ceiling, scale)

    def gather(rows: DeviceView, turns: int) -> None:
        packed = runs.packed + _JOB.pack(rows.address, *values, turns, 0)
        each = -(-runs.capacity // (_RUNS * turns)) * 32
        runs.launch("clusters", f"clusters<{computed_in(x)}>", packed, -(-each // THREADS), [rows])

    runs.connect(few, table)
    gather(table, 1)
    found = driver().read(memory[: ROW + ROW * min(few, _AT_ONCE)])
    if found[0] <= few:
        count = int(found[1])
        if count > _AT_ONCE:
            found = driver().read(memory[: ROW + ROW * count])
        return Clusters(table_of(found[ROW : ROW + ROW * count].reshape(-1, ROW)), runs)
    runs.connect(runs.check(int(found[0])))
    count = int(driver().read(runs.head)[1])
    table = scratch(x, (ROW * count,), "int64")
    clear(table, x)
    gather(table, _TURNS)
    return Clusters(table_of(driver().read(table).reshape(-1, ROW)), runs)
