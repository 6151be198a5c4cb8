"""How often each value of a narrow type occurs inside a mask, each voxel read once.

The answer is NumPy's, so this waits for the device.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from fastprep.core.device_view import DeviceView
from fastprep.kernels.gpu._chunks import BATCH, batch
from fastprep.kernels.gpu._chunks import THREADS as THREADS
from fastprep.kernels.gpu._compile import driver
from fastprep.kernels.gpu._launch import Launch, launch, scratch
from fastprep.kernels.gpu._types import job, read_type

_NARROW = ("int8", "uint8", "int16", "uint16", "float16", "bfloat16")
INSTANCES = (*(f"counts<{name}>" for name in _NARROW), "clear<uint64>")
_CHUNK = 256 * THREADS
_JOB, _CLEAR = job(BATCH), job("PPq")


def counts(x: DeviceView, mask: DeviceView | None) -> npt.NDArray[np.uint64]:
    """``(B, 2**bits)`` of ``x`` (B, Z, Y, X), bool or of 8 or 16 bits, where ``mask`` of that shape is not zero.

    Index 0 is the lowest value of the type.
    """
    out = scratch(x, (len(x), 1 << 8 * x.dtype.itemsize), "int64")
    count_into(x, mask, out)
    counted: npt.NDArray[np.uint64] = driver().read(out).view(np.uint64)
    return counted


def count_into(x: DeviceView, mask: DeviceView | None, out: DeviceView) -> None:
    """Queue it, floats in the order of their values, too."""
    clear(out, x)
    if x.size == 0:
        return
    chunks = -(-x[0].size // _CHUNK)
    packed = _JOB.pack(*batch(x, out, mask, chunks))
    launch(Launch("counts", f"counts<{read_type(x.dtype)}>", packed, len(x) * chunks, THREADS, 0, x, out, stage=1))


def clear(out: DeviceView, x: DeviceView) -> None:
    """Queue zeros into 64-bit words."""
    words = math.prod(out.shape)
    packed = _CLEAR.pack(x.address, out.address, words)
    launch(Launch("counts", "clear<uint64>", packed, -(-words // THREADS), THREADS, 0, x, out))
