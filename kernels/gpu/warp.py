"""Interpolation through any affine: oblique, sheared, rotated.

Coordinates are float64. Nearest and linear read and write once; cubic holds the coefficients of its input.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from fastprep.core.device_view import DeviceView
from fastprep.kernels.gpu._launch import Launch, launch, scratch
from fastprep.kernels.gpu._lines import Taps, copy_volumes, line_pass
from fastprep.kernels.gpu._rare import common, settled
from fastprep.kernels.gpu._types import (
    CHANNELS,
    MOST_CHANNELS,
    WORDS,
    WRITTEN,
    bits,
    channels,
    compute_type,
    job,
    pairs,
    read_type,
    written_type,
)

#: A block makes a box of 8 x 4 x 32 voxels.
_BOX = (8, 4, 32)
THREADS = 256
INSTANCES = (
    *(f"warp<{i}, {o}, {order}>" for i, o in pairs() for order in (0, 1)),
    *(f"warp<{c}, {o}, 3>" for o in WRITTEN for c in ("float32", "float64") if c == compute_type(c, o)),
    *(f"copy_nearest<{word}>" for word in WORDS.values()),
)
_JOB = job(f"PP4q3q3i4i3i12d4dQ{CHANNELS}")
_IDENTITY = (1.0, 0.0, -np.inf, np.inf)


def warp(
    x: DeviceView,
    out: DeviceView,
    matrix: npt.NDArray[np.float64],
    order: int,
    pre: npt.NDArray[np.float64],
    post: npt.NDArray[np.float64],
    outside: npt.NDArray[np.float64],
) -> None:
    """``out[k, b, p] = post_k(pre(x)[b] at matrix @ p)``, ``x`` (B, Z, Y, X), ``out`` (K, B, z, y, x).

    ``matrix`` (4, 4) takes an output index to an input index, both (z, y, x, 1). Inside means
    ``-0.5 <= index < n - 0.5`` on every axis: there nearest and linear clamp to the edge voxel and cubic
    mirrors; elsewhere ``out[k]`` is ``outside[k]``. Order 0 without Ramps copies values exactly.
    """
    plain = len(post) == 1 and all(tuple(ramp) == _IDENTITY for ramp in (pre, post[0]))
    if order == 0 and plain and x.dtype == out.dtype:
        name = f"copy_nearest<{WORDS[out.dtype.itemsize]}>"
        _launch(name, x, out, matrix, pre, post, outside, bits(outside[0], out.dtype))
        return
    outside = settled(outside, out.dtype)
    with common(x, out, copy_volumes) as (given, made):
        writes = written_type(made.dtype)
        reads = read_type(given.dtype)
        if order == 3:
            reads = compute_type(reads, writes)
            given, pre = _coefficients(given, reads, pre), np.array(_IDENTITY)
        for k in range(0, len(post), MOST_CHANNELS):
            some = slice(k, k + MOST_CHANNELS)
            _launch(f"warp<{reads}, {writes}, {order}>", given, made[some], matrix, pre, post[some], outside[some], 0)


def _launch(
    name: str,
    x: DeviceView,
    out: DeviceView,
    matrix: npt.NDArray[np.float64],
    pre: npt.NDArray[np.float64],
    post: npt.NDArray[np.float64],
    outside: npt.NDArray[np.float64],
    fill: int,
) -> None:
    _, batch, depth, height, width = out.shape
    cut = [-(-n // step) for n, step in zip((depth, height, width), _BOX, strict=True)]
    packed = _JOB.pack(
        x.address,
        out.address,
        *x.strides,
        *out.strides[1:4],
        *x.shape[1:],
        *out.shape[1:],
        *cut,
        *map(float, matrix[:3].ravel()),
        *map(float, pre),
        fill,
        *channels(post, outside, out.strides[0]),
    )
    # After the passes that make coefficients.
    launch(Launch("warp", name, packed, batch * cut[0] * cut[1] * cut[2], THREADS, 0, x, out, stage=3))


def _coefficients(x: DeviceView, real: str, pre: npt.NDArray[np.float64]) -> DeviceView:
    """Cubic B-spline coefficients of ``pre(x)``: along y, x and z, as on the CPU."""
    one, other = scratch(x, (1, *x.shape), real), scratch(x, (1, *x.shape), real)
    dtype, none = np.dtype(real), np.zeros((0, 0))
    taps = {axis: Taps(np.zeros((0, x.shape[axis]), np.int32), none) for axis in (1, 2, 3)}
    line_pass("columns", x, one, 2, taps[2], dtype, pre=tuple(map(float, pre)), stage=0)
    line_pass("rows", one[0], other, 3, taps[3], dtype, stage=1)
    line_pass("columns", other[0], one, 1, taps[1], dtype, stage=2)
    return one[0]
