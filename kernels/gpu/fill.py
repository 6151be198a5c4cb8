"""Masks with their holes filled. Room for runs is made when their number is known, so this waits for the device."""

from __future__ import annotations

from fastprep.core.device_view import DeviceView
from fastprep.kernels.gpu._launch import scratch
from fastprep.kernels.gpu._runs import THREADS as THREADS
from fastprep.kernels.gpu._runs import Runs
from fastprep.kernels.gpu._types import job

INSTANCES = ("fill_sizes", "fill_values")
_JOB = job("PPq")


def fill(mask: DeviceView, connectivity: int, planar: bool, largest: int, out: DeviceView) -> None:
    """Each volume of ``mask`` (B, Z, Y, X), bytes, and the holes in it, into ``out``; it may be that.

    A hole is a component of what is not set that does not touch the border, and has at most ``largest`` voxels, or any
    number with -1; connectivity 1 is by faces, 2 by edges, 3 by corners. With ``planar`` each plane (Y, X) is by
    itself. An axis of one voxel has no border, unless all have one.
    """
    if mask.size == 0:
        return
    runs = Runs(mask, 1, connectivity, complement=True, planar=planar)
    count = runs.count()
    sizes = scratch(mask, (count + 1,), "int64")
    runs.connect(count, sizes)
    values = runs.values(1)
    rest = _JOB.pack(sizes.address, values.address, largest)
    runs.each("fill", "fill_sizes", rest, [sizes])
    runs.each("fill", "fill_values", rest, [values])
    runs.write(values, out, rest=1)
