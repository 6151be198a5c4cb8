"""Pixels out of bounds, which may be those of their neighbourhood: each array read once."""

from __future__ import annotations

from fastprep.core.device_view import DeviceView
from fastprep.kernels.gpu._launch import Launch, launch_alone
from fastprep.kernels.gpu._types import job

THREADS = 256
INSTANCES = ("defects",)
_JOB = job("PPPqdd")


def defects(x: DeviceView, near: DeviceView | None, low: float, high: float, out: DeviceView) -> None:
    """``out = 1`` unless ``low * near <= x <= high * near``, or ``low <= x <= high`` without ``near``; else it stays.

    All (Z, Y, X) and contiguous; products are those of float64. NaN is out of any bounds.
    """
    packed = _JOB.pack(x.address, 0 if near is None else near.address, out.address, x.size, float(low), float(high))
    run = Launch("defects", "defects", packed, -(-x.size // THREADS), THREADS, 0, x, out)
    launch_alone(run, [view for view in (x, near) if view is not None], [out])
