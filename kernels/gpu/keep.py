"""The largest components of masks. Room for runs is made when their number is known, so this waits for the device."""

from __future__ import annotations

import numpy as np

from fastprep.core.device_view import DeviceView
from fastprep.kernels.gpu._compile import driver
from fastprep.kernels.gpu._launch import scratch, tables
from fastprep.kernels.gpu._runs import THREADS as THREADS
from fastprep.kernels.gpu._runs import Runs
from fastprep.kernels.gpu._types import job

INSTANCES = ("keep_sizes", "keep_next<false>", "keep_next<true>", "keep_values")
#: Components that are found one after the other; of more the host puts the sizes in order.
_ONE_BY_ONE = 8
_MOST_RUNS = 2**31 - 1
_JOB = job("PPPPqi4x")


def keep(mask: DeviceView, connectivity: int, most: int, smallest: int, out: DeviceView) -> None:
    """Of each volume of ``mask`` (B, Z, Y, X), bytes, the ``most`` largest components, into ``out``; it may be that.

    Of equal ones the one whose first voxel comes first in C order; -1 is all. Those below ``smallest`` voxels are left
    out. Voxels are connected by faces, from connectivity 2 on by edges, with 3 by corners.
    """
    if mask.size == 0:
        return
    runs, volumes = Runs(mask, 1, connectivity), len(mask)
    count = runs.count()
    turns = most if 0 < most <= _ONE_BY_ONE else 0
    # Beside the sizes: of each volume and turn a size and a place.
    memory = scratch(mask, (count + 2 * volumes * turns + 1,), "int64")
    runs.connect(count, memory)
    values = runs.values(1)
    last = before = 0

    def each(name: str, writes: list[DeviceView], smallest: int) -> None:
        rest = _JOB.pack(memory.address, last, before, values.address, smallest, not last)
        runs.each("keep", name, rest, writes)

    each("keep_sizes", [memory], smallest)
    for turn in range(turns):
        last, before = memory[count + 2 * volumes * turn :].address, last
        each("keep_next<false>", [memory], smallest)
        each("keep_next<true>", [memory], smallest)
    table = None
    if most > _ONE_BY_ONE and count > most:
        table = tables(mask, _last_ones(runs, memory, most).tobytes())
        last = table.addresses[0]
    each("keep_values", [values], smallest if most else 1 << 62)
    runs.write(values, out)


def _last_ones(runs: Runs, sizes: DeviceView, most: int) -> np.ndarray[tuple[int, ...], np.dtype[np.uint64]]:
    """The size and the place of the last component that is kept of each volume, zeros where all are: waited for."""
    volumes, parents = runs.places()
    roots = np.flatnonzero(parents == np.arange(len(parents)))
    size, volume = driver().read(sizes)[roots], volumes[roots]
    found = np.zeros((runs.shape[0], 2), np.uint64)
    for b in range(len(found)):
        mine = roots[volume == b]
        if len(mine) > most:
            last = np.argsort(-size[volume == b], kind="stable")[most - 1]
            found[b] = size[volume == b][last], _MOST_RUNS - mine[last]
    return found
