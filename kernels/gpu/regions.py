"""What is known of each region of a label volume, each voxel read once. The answer is NumPy's, so this waits."""

from __future__ import annotations

import math

import numpy as np

from fastprep.core.device_view import DeviceView
from fastprep.core.regions import RegionTable
from fastprep.kernels.gpu._compile import driver
from fastprep.kernels.gpu._launch import Launch, launch_alone, scratch
from fastprep.kernels.gpu._regions import ROW, VALUES, computed_in, kind_of, table_of, values_of
from fastprep.kernels.gpu._runs import THREADS as THREADS
from fastprep.kernels.gpu._types import job
from fastprep.kernels.gpu.counts import clear

INSTANCES = ("regions<int64>", "regions<float64>")
_JOB = job(f"PP3qq{VALUES}3iiii")
#: Voxels along rows that a warp goes through.
_VOXELS = 4096


def regions(labels: DeviceView, count: int, x: DeviceView | None, ceiling: float, scale: float) -> RegionTable:
    """The table of labels 1 to ``count`` of ``labels`` (Z, Y, X), whole numbers or bool; others are ignored.

    The values are those of ``x``, of that shape and any type of numbers, or none; `RegionTable` tells what ``ceiling``
    and ``scale`` are.
    """
    if labels.size == 0 or count == 0:
        return table_of(np.zeros((count, ROW), np.int64))
    table = scratch(labels, (count * ROW,), "int64")
    clear(table, labels)
    rows = max(_VOXELS // labels.shape[2], 1)
    values, kind = values_of(x, ceiling, scale), kind_of(labels)
    packed = _JOB.pack(labels.address, table.address, *labels.strides, count, *values, *labels.shape, kind, rows, 0)
    blocks = -(-math.prod(labels.shape[:2]) // (rows * THREADS // 32))
    name = f"regions<{computed_in(x)}>"
    given = [labels] if x is None else [labels, x]
    launch_alone(Launch("regions", name, packed, blocks, THREADS, 0, labels, table), given, [table])
    return table_of(driver().read(table).reshape(-1, ROW))
