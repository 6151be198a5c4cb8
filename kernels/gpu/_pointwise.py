"""What the voxel-by-voxel launchers share: the struct ``PointwiseJob``, and layouts cut to four axes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from fastprep.core.device_view import DeviceView
from fastprep.kernels.gpu._launch import Launch, launch, merged
from fastprep.kernels.gpu._tables import Table
from fastprep.kernels.gpu._types import MOST_CHANNELS, compute_type, job, read_type, written_type

THREADS = 256
#: Voxels of a thread, by what is computed in.
_VOXELS = {"float32": 32, "float64": 16}
_JOB = job("PPqq3q4qiii4x")
_IDENTITY = np.array([[1.0, 0.0, -np.inf, np.inf]])
_RAMPS = job(f"{MOST_CHANNELS * 4}d")


class Functions(NamedTuple):
    """What a job tells of the functions of its channels, and the tables it points to."""

    packed: bytes
    tables: Sequence[Table] = ()


def of_ramps(ramps: npt.NDArray[np.float64]) -> Callable[[slice], Functions]:
    """The tail of the struct ``RampJob`` for some of the channels of ``ramps`` (K, 4)."""

    def functions(channels: slice) -> Functions:
        values = [float(v) for v in ramps[channels].ravel()]
        return Functions(_RAMPS.pack(*values, *[0.0] * (4 * MOST_CHANNELS - len(values))))

    return functions


def copy(x: DeviceView, out: DeviceView, stage: int) -> None:
    """``x`` into ``out`` of the same shape, which may have gaps between the indices of its first axis alone."""
    if not out.is_contiguous:
        for k in range(len(out)):
            copy(x[k], out[k], stage)
        return
    channel = replace(out, shape=(1, *out.shape), strides=(0, *out.strides))
    pointwise("ramp", x, channel, of_ramps(_IDENTITY), stage=stage)


def pointwise(
    stem: str,
    x: DeviceView,
    out: DeviceView,
    functions: Callable[[slice], Functions],
    share: int = 1,
    stage: int = 0,
) -> None:
    """``out[k] = f_k(x)`` with the kernel of that name; ``out`` (K, ...) is contiguous.

    A thread has 1 / ``share`` of the voxels of others.
    """
    types = read_type(x.dtype), written_type(out.dtype)
    expression = f"{stem}<{', '.join(types)}>"
    chunk = THREADS * _VOXELS[compute_type(*types)] // share
    with merged():
        for k in range(0, len(out), MOST_CHANNELS):
            some = slice(k, k + MOST_CHANNELS)
            _layout(stem, expression, chunk, x, out[some], functions(some), stage)


def _layout(
    stem: str, expression: str, chunk: int, x: DeviceView, out: DeviceView, functions: Functions, stage: int
) -> None:
    x = x if x.ndim else x.with_shape((1,))
    flat = x.is_contiguous
    four = x.grouped(min(3, x.ndim))
    if not flat and four is None:
        # No single stride steps through the leading axes: one job for each index of the first.
        for i in range(x.shape[0]):
            _layout(stem, expression, chunk, x[i], out[:, i], functions, stage)
        return
    size, step = x.size, out.strides[0]
    width, wide = x.dtype.itemsize, out.dtype.itemsize
    pack = 16 // max(width, wide)
    steps = (x.address % (pack * width), out.address % (pack * wide), step * wide % (pack * wide))
    aligned = flat and steps == (0, 0, 0)
    shape, strides = ((1,) * 3, (0,) * 4) if four is None else _four(four)
    packed = _JOB.pack(x.address, out.address, size, step, *shape, *strides, flat, aligned, len(out))
    packed += functions.packed
    launch(Launch(stem, expression, packed, -(-size // chunk), THREADS, 0, x, out, functions.tables, stage))


def _four(x: DeviceView) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """The last three lengths, and four strides; axes that are missing have length one."""
    missing = 4 - x.ndim
    return ((1,) * missing + x.shape)[1:], (0,) * missing + x.strides
