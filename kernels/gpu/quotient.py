"""A smooth log field from sums of values and of shares around the nodes of a lattice."""

from __future__ import annotations

from fastprep.core.device_view import DeviceView
from fastprep.kernels.gpu._launch import Launch, launch_alone
from fastprep.kernels.gpu._types import job

THREADS = 256
INSTANCES = ("quotient",)
_JOB = job("PPPP4iii")


def quotient(values: DeviceView, shares: DeviceView, balance: DeviceView, logarithm: bool, lattice: DeviceView) -> None:
    """Cubic B-splines through ``values / shares``, or its logarithm unless it is one, less the mean by ``balance``.

    ``values`` and ``shares`` (B, kz + 2, ky + 2, kx + 2) have a node more at each end than ``lattice`` (B, kz, ky, kx)
    and ``balance``; ``values`` is overwritten.
    """
    packed = _JOB.pack(values.address, shares.address, balance.address, lattice.address, *lattice.shape, logarithm, 0)
    run = Launch("quotient", "quotient", packed, lattice.shape[0], THREADS, 0, shares, values)
    launch_alone(run, [shares, balance], [values, lattice])
