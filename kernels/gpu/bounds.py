"""The smallest box that holds every non-zero voxel, read once.

The answer is Python numbers, so this is the one kernel that waits for the device.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from fastprep.core.device_view import DeviceView
from fastprep.kernels.gpu._compile import driver
from fastprep.kernels.gpu._launch import Launch, launch
from fastprep.kernels.gpu._types import WORDS, job

_ROWS = 8
THREADS = 32 * _ROWS
_FLOATS = {2: "float16", 4: "float32", 8: "float64"}
INSTANCES = tuple(f"bounds<{name}>" for name in (*WORDS.values(), *_FLOATS.values()))
_JOB = job("PP3qq3i4x")


def bounds(mask: DeviceView) -> npt.NDArray[np.int64]:
    """``(3, 2)`` start and stop per axis of a mask (Z, Y, X); all zero when the mask is empty."""
    talk, far = driver(), np.iinfo(np.int32).max
    start = np.array([far] * 3 + [-1] * 3, np.int32)
    memory = talk.upload(start.tobytes(), mask.device, talk.stream(mask))
    box = DeviceView(memory.address, (6,), (1,), start.dtype, mask.device, memory, mask.stream)
    rows = math.prod(mask.shape[:2])
    packed = _JOB.pack(mask.address, box.address, *mask.strides, rows, *mask.shape)
    # A sign alone makes no half number a voxel, whichever half it is.
    name = (_FLOATS if mask.dtype.kind == "f" else WORDS)[mask.dtype.itemsize]
    launch(Launch("bounds", f"bounds<{name}>", packed, -(-rows // _ROWS), THREADS, 0, mask, box))
    low, high = talk.read(box).astype(np.int64).reshape(2, 3)
    return np.zeros((3, 2), np.int64) if high[0] < 0 else np.stack([low, high + 1], axis=1)
