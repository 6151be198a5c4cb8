"""Count, mean, squared deviations and extremes of the voxels inside a mask, each read once.

The answer is Python numbers, so this waits for the device.
"""

from __future__ import annotations

import numpy as np

from fastprep.core.device_view import DeviceView
from fastprep.core.moments import Moments
from fastprep.kernels.gpu._chunks import MASKED, masked
from fastprep.kernels.gpu._chunks import THREADS as THREADS
from fastprep.kernels.gpu._compile import driver
from fastprep.kernels.gpu._launch import Launch, launch, scratch
from fastprep.kernels.gpu._types import NUMBERS, job, read_type

INSTANCES = tuple(f"moments<{name}>" for name in NUMBERS)
_CHUNK = 16 * THREADS
_JOB = job(MASKED)


def moments(x: DeviceView, mask: DeviceView | None) -> Moments:
    """Of ``x`` (Z, Y, X) where ``mask`` of that shape is not zero; everywhere without one."""
    blocks = -(-x.size // _CHUNK)
    if blocks == 0:
        return Moments.of_chunks(np.zeros((0, 6)))
    rows = scratch(x, (blocks, 6), "float64")
    packed = _JOB.pack(*masked(x, rows, mask))
    launch(Launch("moments", f"moments<{read_type(x.dtype)}>", packed, blocks, THREADS, 0, x, rows))
    return Moments.of_chunks(driver().read(rows))
