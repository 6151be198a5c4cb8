"""Each voxel by the mean and standard deviation of its neighbours: three launches for some planes at a time."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from fastprep.core.device_view import DeviceView
from fastprep.kernels.gpu._chunks import MASKED, masked
from fastprep.kernels.gpu._chunks import THREADS as THREADS
from fastprep.kernels.gpu._launch import Launch, launch_alone, scratch
from fastprep.kernels.gpu._types import NUMBERS, job, read_type

_FLOATS = ("float16", "bfloat16", "float32", "float64")
_NORMALIZE = {name: f"local_normalize<{name}, {name if name in _FLOATS else 'float32'}>" for name in NUMBERS}
INSTANCES = (*(f"local_planes<{name}>" for name in NUMBERS), "local_rows", *_NORMALIZE.values())
#: Voxels of a column for a thread.
_RUN = 16
#: Voxels whose sums are kept at a time, 40 bytes each, unless a plane has more.
_AT_ONCE = 2**21
_JOB = job(f"{MASKED}PPqddd6i")


def local_normalize(
    x: DeviceView,
    out: DeviceView,
    mask: DeviceView | None,
    reach: tuple[int, ...],
    centers: npt.NDArray[np.float64],
    stds: npt.NDArray[np.float64],
    floor: float,
) -> None:
    """``out = (x - m) / s``, of the voxels inside ``mask`` that are up to ``reach`` away: all (B, Z, Y, X).

    ``m`` and ``s`` are their mean and standard deviation, which is at least ``floor`` times that of the volume's entry
    of ``stds``; 0 where there are none, or they do not differ. Sums are of differences from ``centers``. Of floats
    ``out`` has the type of ``x``, else it is float32.
    """
    space = x.shape[1:]
    depth, (rows, columns) = space[0], space[1:]
    near = [min(r, n - 1) for r, n in zip(reach, space, strict=True)]
    planes = max(1, min(depth, _AT_ONCE // (rows * columns)))
    sums = scratch(out, (4, planes * rows * columns), "float64")
    counts = scratch(out, (2, planes * rows * columns), "int32")
    name = read_type(x.dtype)
    for b in range(x.shape[0]):
        marks = None if mask is None else mask[b]
        given = [x[b]] if marks is None else [x[b], marks]
        for first in range(0, depth, planes):
            part = min(planes, depth - first)
            size = part * rows * columns
            packed = _JOB.pack(
                *masked(x[b], out[b], marks),
                *(sums.address, counts.address, size, centers[b], stds[b], floor),
                *(first, part, *near, 0),
            )
            for expression, threads, writes in (
                (f"local_planes<{name}>", rows * columns * math.ceil(part / _RUN), [sums, counts]),
                ("local_rows", part * columns * math.ceil(rows / _RUN), [sums, counts]),
                (_NORMALIZE[name], size, [out[b]]),
            ):
                run = Launch("local_normalize", expression, packed, -(-threads // THREADS), THREADS, 0, x, out)
                launch_alone(run, given, writes)
