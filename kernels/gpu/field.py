"""A field from its lattice: its logarithm, and images divided by it, in one read and one write."""

from __future__ import annotations

import math

from fastprep.core.device_view import DeviceView
from fastprep.core.lattice import Axis
from fastprep.kernels.gpu._launch import Launch, launch_alone
from fastprep.kernels.gpu._separable import AXIS, axis_tables
from fastprep.kernels.gpu._types import NUMBERS, job, read_type

_ROWS = 32
THREADS = 256
_WRITTEN = {name: name if "float" in name else "float32" for name in NUMBERS}
INSTANCES = tuple(f"field<{i}, {o}>" for i, o in _WRITTEN.items())
_JOB = job(f"PPPP4q4i{3 * AXIS}")


def field(
    x: DeviceView | None,
    lattice: DeviceView,
    axes: tuple[Axis, Axis, Axis],
    corrected: DeviceView | None,
    log_field: DeviceView | None,
) -> None:
    """``x / exp(field)`` into ``corrected``, the field into ``log_field``: (B, Z, Y, X); lattice (B, kz, ky, kx)."""
    outs = [view for view in (corrected, log_field) if view is not None]
    shape = outs[0].shape
    table, described = axis_tables(outs[0], axes)
    packed = _JOB.pack(
        0 if x is None else x.address,
        0 if corrected is None else corrected.address,
        0 if log_field is None else log_field.address,
        lattice.address,
        *((0,) * 4 if x is None else x.strides),
        *shape,
        *described,
    )
    reads = "float32" if x is None else read_type(x.dtype)
    shared = 4 * _ROWS * axes[2].controls
    blocks = math.prod(shape[:2]) * -(-shape[2] // _ROWS)
    name = f"field<{reads}, {_WRITTEN[reads]}>"
    inputs = [view for view in (x, lattice) if view is not None]
    launch_alone(Launch("field", name, packed, blocks, THREADS, shared, inputs[0], outs[0], (table,)), inputs, outs)
