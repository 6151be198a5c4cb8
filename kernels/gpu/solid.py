"""The largest component of a mask, its holes filled: nine launches, and two labels of each voxel beside it."""

from __future__ import annotations

from fastprep.core.device_view import DeviceView
from fastprep.kernels.gpu._launch import Launch, launch_alone, scratch
from fastprep.kernels.gpu._types import job

THREADS = 256
_STEPS = (
    *("solid_start<{0}>", "solid_join<{0}, true>", "solid_count<{0}>", "solid_most<{0}>", "solid_first<{0}>"),
    *("solid_rest<{0}>", "solid_join<{0}, false>", "solid_border<{0}>", "solid_write<{0}>"),
)
INSTANCES = tuple(step.format(label) for label in ("int32", "int64") for step in _STEPS)
#: Voxels whose numbers and counts an int32 holds.
_NARROW = 2**31 - THREADS
_JOB = job("PPPPP4qq4i")


def solid(mask: DeviceView, out: DeviceView) -> None:
    """The largest component of each volume of ``mask`` (B, Z, Y, X), bytes, holes filled, into ``out``; it may be that.

    Voxels are connected by faces, edges and corners; of two largest it is the one whose first voxel comes first. Holes
    are what faces do not connect with the border. An axis of one voxel is none, and has no border.
    """
    label = "int32" if mask.size <= _NARROW else "int64"
    labels, gaps = (scratch(out, (mask.size,), label) for _ in range(2))
    most = scratch(out, (mask.shape[0], 2), label)
    work = [labels, gaps, most]
    addresses = (mask.address, out.address, *(view.address for view in work))
    packed = _JOB.pack(*addresses, *mask.strides, mask.size, *mask.shape)
    for step in _STEPS:
        run = Launch("solid", step.format(label), packed, -(-mask.size // THREADS), THREADS, 0, mask, out)
        # Which voxel of a tree hangs on which depends on who came first; that they have one root does not.
        joins = step.startswith("solid_join")
        launch_alone(run, [mask, *work], [] if joins else [out, *work])
