"""Fields with one factor per axis (``separable.cuh``): the struct ``AxisTable`` and what it points to."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from fastprep.core.device_view import DeviceView
from fastprep.core.lattice import Axis
from fastprep.kernels.gpu._launch import tables
from fastprep.kernels.gpu._tables import Table

#: The struct `AxisTable`.
AXIS = "PPPiiii"


def axis_tables(view: DeviceView, axes: Sequence[Axis]) -> tuple[Table, list[int]]:
    """The tables of three axes on the device of an array, and the numbers of their structs."""
    parts: list[bytes] = []
    for axis in axes:
        for values, dtype in ((axis.first, np.int32), (axis.weight, np.float64), (axis.weight, np.float32)):
            parts.append(np.ascontiguousarray(values, dtype).tobytes())
    table = tables(view, *parts)
    numbers: list[Any] = []
    for i, axis in enumerate(axes):
        numbers += [*table.addresses[3 * i : 3 * i + 3], *axis.weight.shape[:1], axis.controls, axis.weight.shape[1], 0]
    return table, numbers
