"""``out = sum_k weights[k] * x[k] + offset``: each voxel of each channel read once in its own dtype, one written."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from fastprep.core.device_view import DeviceView
from fastprep.kernels.gpu._launch import Launch, launch
from fastprep.kernels.gpu._pointwise import copy
from fastprep.kernels.gpu._rare import common
from fastprep.kernels.gpu._types import compute_type, job, pairs, read_type, written_type

THREADS = 256
INSTANCES = tuple(f"combine<{i}, {o}>" for i, o in pairs())
_MOST = 16
_JOB = job(f"PPqq3q3qiii4x{_MOST}dd")
#: Voxels of a thread, by what is computed in.
_VOXELS = {"float32": 16, "float64": 8}


def combine(x: DeviceView, out: DeviceView, weights: npt.NDArray[np.float64], offset: float) -> None:
    """``x`` (K, Z, Y, X), ``out`` (Z, Y, X) contiguous, ``weights`` (K,)."""
    with common(x, out, copy) as (given, made):
        _combine(given, made, weights, offset)


def _combine(x: DeviceView, out: DeviceView, weights: npt.NDArray[np.float64], offset: float) -> None:
    first, names = x[0], (read_type(x.dtype), written_type(out.dtype))
    step, width, wide = x.strides[0], x.dtype.itemsize, out.dtype.itemsize
    pack = 16 // max(width, wide)
    places = (x.address % (pack * width), step % pack, out.address % (pack * wide))
    aligned = first.is_contiguous and places == (0, 0, 0)
    factors = (*map(float, weights), *[0.0] * (_MOST - len(weights)), float(offset))
    layout = (*first.shape, *first.strides, first.is_contiguous, aligned)
    packed = _JOB.pack(x.address, out.address, first.size, step, *layout, len(weights), *factors)
    blocks = -(-first.size // (THREADS * _VOXELS[compute_type(*names)]))
    launch(Launch("combine", f"combine<{', '.join(names)}>", packed, blocks, THREADS, 0, x, out))
