"""A Ramp inside a mask; outside it one value, or what was there: one read of both, one write."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from fastprep.core.device_view import DeviceView
from fastprep.kernels.gpu._chunks import MASKED, masked
from fastprep.kernels.gpu._launch import Launch, launch
from fastprep.kernels.gpu._pointwise import copy
from fastprep.kernels.gpu._rare import common
from fastprep.kernels.gpu._types import compute_type, job, pairs, read_type, written_type

THREADS = 256
INSTANCES = tuple(f"masked_ramp<{i}, {o}>" for i, o in pairs())
_JOB = job(f"{MASKED}5dii")
#: Voxels of a thread, by what is computed in.
_VOXELS = {"float32": 16, "float64": 8}


def masked_ramp(
    x: DeviceView, mask: DeviceView, ramp: npt.NDArray[np.float64], outside: float | None, out: DeviceView
) -> None:
    """``out = clip(a x + b, lo, hi)`` where ``mask`` is not zero, else ``outside``, or x where that is None.

    ``x``, ``mask`` and ``out``, contiguous, are (Z, Y, X); ``ramp`` is (a, b, lo, hi).
    """
    with common(x, out, copy) as (given, made):
        _masked_ramp(given, mask, ramp, outside, made)


def _masked_ramp(
    x: DeviceView, mask: DeviceView, ramp: npt.NDArray[np.float64], outside: float | None, out: DeviceView
) -> None:
    names = read_type(x.dtype), written_type(out.dtype)
    width, wide = x.dtype.itemsize, out.dtype.itemsize
    pack = 16 // max(width, wide)
    places = (x.address % (pack * width), out.address % (pack * wide), mask.address % pack)
    flat = x.is_contiguous and mask.is_contiguous
    aligned = flat and mask.dtype.itemsize == 1 and places == (0, 0, 0)
    numbers = (*map(float, ramp), 0.0 if outside is None else float(outside))
    packed = _JOB.pack(*masked(x, out, mask), *numbers, outside is None, aligned)
    blocks = -(-x.size // (THREADS * _VOXELS[compute_type(*names)]))
    launch(Launch("masked_ramp", f"masked_ramp<{', '.join(names)}>", packed, blocks, THREADS, 0, x, out))
