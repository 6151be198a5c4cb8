"""Where values lie between two numbers: each voxel read once in its own dtype."""

from __future__ import annotations

import math

from fastprep.core.device_view import DeviceView
from fastprep.kernels.gpu._bias import ANY, any_array
from fastprep.kernels.gpu._launch import Launch, launch_alone
from fastprep.kernels.gpu._types import job

THREADS = 256
_VOXELS = 1024
INSTANCES = ("between",)
_JOB = job(f"{2 * ANY}dd4iP")


def between(x: DeviceView, mask: DeviceView | None, low: float, high: float, out: DeviceView) -> None:
    """``out = low < x < high`` where ``mask`` is not zero, everywhere without one: all (B, Z, Y, X)."""
    packed = _JOB.pack(*any_array(x), *any_array(mask), low, high, *x.shape, out.address)
    blocks = -(-math.prod(x.shape) // _VOXELS)
    given = [view for view in (x, mask) if view is not None]
    launch_alone(Launch("between", "between", packed, blocks, THREADS, 0, x, out), given, [out])
