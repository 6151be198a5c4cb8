"""What the voxel-by-voxel launchers share: the struct ``PointwiseJob``, and layouts cut to four axes."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from fastprep.core.device_view import DeviceView
from fastprep.kernels.gpu._launch import Launch, launch, merged
from fastprep.kernels.gpu._types import MOST_CHANNELS, compute_type, job, read_type, written_type

THREADS = 256
#: Voxels of a thread, by what is computed in.
_VOXELS = {"float32": 32, "float64": 16}
_JOB = job(f"PPqq3q4qiii4x{MOST_CHANNELS * 4}d")


def pointwise(stem: str, x: DeviceView, out: DeviceView, ramps: npt.NDArray[np.float64]) -> None:
    """``out[k] = f(x; ramps[k])`` with the kernel of that name; ``out`` (K, ...) is contiguous."""
    expression = f"{stem}<{read_type(x.dtype)}, {written_type(out.dtype)}>"
    with merged():
        for k in range(0, len(ramps), MOST_CHANNELS):
            _layout(stem, expression, x, out[k : k + MOST_CHANNELS], ramps[k : k + MOST_CHANNELS])


def _layout(stem: str, expression: str, x: DeviceView, out: DeviceView, ramps: npt.NDArray[np.float64]) -> None:
    x = x if x.ndim else x.with_shape((1,))
    flat = x.is_contiguous
    four = x.grouped(min(3, x.ndim))
    if not flat and four is None:
        # No single stride steps through the leading axes: one job for each index of the first.
        for i in range(x.shape[0]):
            _layout(stem, expression, x[i], out[:, i], ramps)
        return
    size, step = x.size, out.strides[0]
    width, wide = x.dtype.itemsize, out.dtype.itemsize
    pack = 16 // max(width, wide)
    steps = (x.address % (pack * width), out.address % (pack * wide), step * wide % (pack * wide))
    aligned = flat and steps == (0, 0, 0)
    shape, strides = ((1,) * 3, (0,) * 4) if four is None else _four(four)
    values = [float(v) for v in ramps.ravel()]
    values += [0.0] * (4 * MOST_CHANNELS - len(values))
    packed = _JOB.pack(x.address, out.address, size, step, *shape, *strides, flat, aligned, len(ramps), *values)
    blocks = -(-size // (THREADS * _VOXELS[compute_type(read_type(x.dtype), written_type(out.dtype))]))
    launch(Launch(stem, expression, packed, blocks, THREADS, 0, x, out))


def _four(x: DeviceView) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """The last three lengths, and four strides; axes that are missing have length one."""
    missing = 4 - x.ndim
    return ((1,) * missing + x.shape)[1:], (0,) * missing + x.strides
