"""Means and covariances of channels over the voxels inside a mask, each voxel read once from memory.

The answer is numbers, so this waits for the device.
"""

from __future__ import annotations

import numpy as np

from fastprep.core.covariance import Covariance
from fastprep.core.device_view import DeviceView
from fastprep.kernels.gpu._chunks import MASKED, masked
from fastprep.kernels.gpu._chunks import THREADS as THREADS
from fastprep.kernels.gpu._compile import driver
from fastprep.kernels.gpu._launch import Launch, launch, scratch
from fastprep.kernels.gpu._types import NUMBERS, job, read_type

INSTANCES = tuple(f"covariance<{name}>" for name in NUMBERS)
_CHUNK = 8 * THREADS
_JOB = job(f"{MASKED}qi4x")


def covariance(x: DeviceView, mask: DeviceView | None) -> Covariance:
    """Of ``x`` (K, Z, Y, X) where ``mask`` (Z, Y, X) is not zero, everywhere without one, and every channel finite."""
    k, first = len(x), x[0]
    blocks, columns = -(-first.size // _CHUNK), 1 + 2 * k + k * (k + 1) // 2
    if blocks == 0:
        return Covariance.of_chunks(np.zeros((0, columns)), k)
    rows = scratch(x, (blocks, columns), "float64")
    packed = _JOB.pack(*masked(first, rows, mask), x.strides[0], k)
    launch(Launch("covariance", f"covariance<{read_type(x.dtype)}>", packed, blocks, THREADS, 0, x, rows))
    return Covariance.of_chunks(driver().read(rows), k)
