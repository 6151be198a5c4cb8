"""Separable interpolation: a few weighted taps per axis, between a Ramp before and Ramps after.

``out[k, b, z, y, x] = post_k( sum_tuv wz[t, z] wy[u, y] wx[v, x] * c[b, iz[t, z], iy[u, y], ix[v, x]] )`` where
``c`` is ``pre(x)``, or its cubic B-spline coefficients (mirror boundary) when ``prefilter``.

Nearest and linear read and write once. Cubic and antialiased maps are a pass along each axis, with float32 between.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from fastprep.core.device_view import DeviceView
from fastprep.kernels.gpu._launch import Launch, launch, scratch, tables
from fastprep.kernels.gpu._lines import FREE, Taps, copy_volumes, first_passes, last_passes, line_pass, middle_passes
from fastprep.kernels.gpu._rare import common, settled
from fastprep.kernels.gpu._types import (
    CHANNELS,
    MOST_CHANNELS,
    NUMBERS,
    READ,
    RESULTS,
    WRITTEN,
    channels,
    compute_type,
    job,
    pairs,
    read_type,
    written_type,
)

Tables = tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], npt.NDArray[np.int64]]
Weights = tuple[npt.NDArray[np.float64], npt.NDArray[np.float64], npt.NDArray[np.float64]]

#: A block is eight rows of 32 voxels, 16 planes deep.
_ROWS, _PLANES = 8, 16
THREADS = 32 * _ROWS
INSTANCES = (
    *(f"gather<{i}, {o}, {taps}>" for i, o in pairs() for taps in (1, 2)),
    *(f"frame<{o}>" for o in WRITTEN),
    *first_passes("columns", READ),
    *middle_passes("rows"),
    *last_passes("columns", WRITTEN),
    # Bands copy, too.
    *first_passes("band", NUMBERS),
    *last_passes("band", RESULTS),
)
_JOB = job(f"PP3P3P4q3q4i6i3i4x4d{CHANNELS}")


def resample(
    x: DeviceView,
    out: DeviceView,
    index: Tables,
    weight: Weights,
    inside: npt.NDArray[np.int64],
    prefilter: bool,
    pre: npt.NDArray[np.float64],
    post: npt.NDArray[np.float64],
    outside: npt.NDArray[np.float64],
) -> None:
    """``x`` (B, Z, Y, X), ``out`` (K, B, z, y, x), ``index`` and ``weight`` (taps, m) per axis.

    ``inside`` (3, 2): along each axis the outputs ``start <= i < stop`` have a source; the rest of ``out[k]`` is
    ``outside[k]``. ``pre`` (4,) and ``post`` (K, 4) are Ramps.
    """
    counts = {len(table) for table in index}
    box = [(int(a), int(b)) for a, b in inside]
    outside = settled(outside, out.dtype)
    with common(x, out, copy_volumes) as (given, made):
        if not prefilter and counts in ({1}, {2}):
            for k in _groups(post):
                _gather(len(index[0]), given, made[k], index, weight, box, pre, post[k], outside[k])
            return
        if any(pair != (0, n) for pair, n in zip(box, out.shape[2:], strict=True)):
            for k in _groups(post):
                _gather(0, given, made[k], index, weight, box, pre, post[k], outside[k])
        if all(a < b for a, b in box):
            _passes(given, made, index, weight, box, prefilter, pre, post)


def _groups(post: npt.NDArray[np.float64]) -> list[slice]:
    return [slice(k, k + MOST_CHANNELS) for k in range(0, len(post), MOST_CHANNELS)]


def _gather(
    taps: int,
    x: DeviceView,
    out: DeviceView,
    index: Tables,
    weight: Weights,
    box: list[tuple[int, int]],
    pre: npt.NDArray[np.float64],
    post: npt.NDArray[np.float64],
    outside: npt.NDArray[np.float64],
) -> None:
    """One launch of ``gather``, or with no taps of ``frame``, which reads nothing."""
    writes = written_type(out.dtype)
    reads = read_type(x.dtype)
    real = np.dtype(compute_type(reads, writes))
    parts = [table.astype(np.int32).tobytes() for table in index] + [w.astype(real).tobytes() for w in weight]
    table = tables(x, *parts) if taps else None
    _, _, depth, height, width = out.shape
    cut = (-(-depth // _PLANES), -(-height // _ROWS), -(-width // 32))
    packed = _JOB.pack(
        x.address,
        out.address,
        *(table.addresses if table else (0,) * 6),
        *x.strides,
        *out.strides[1:4],
        *out.shape[1:],
        *(end for pair in box for end in pair),
        *cut,
        *map(float, pre),
        *channels(post, outside, out.strides[0]),
    )
    name = f"gather<{reads}, {writes}, {taps}>" if taps else f"frame<{writes}>"
    blocks = out.shape[1] * cut[0] * cut[1] * cut[2]
    launch(Launch("resample", name, packed, blocks, THREADS, 0, x, out, (table,) if table else ()))


def _passes(
    x: DeviceView,
    out: DeviceView,
    index: Tables,
    weight: Weights,
    box: list[tuple[int, int]],
    prefilter: bool,
    pre: npt.NDArray[np.float64],
    post: npt.NDArray[np.float64],
) -> None:
    """Axis by axis, in the CPU's order: y, x, z for splines, x, y, z for bands."""
    real = np.dtype(compute_type(read_type(x.dtype), written_type(out.dtype)))
    taps = [
        Taps(np.ascontiguousarray(i[:, a:b], np.int32), w[:, a:b])
        for i, w, (a, b) in zip(index, weight, box, strict=True)
    ]
    result = out[(slice(None), slice(None), *(slice(a, b) for a, b in box))]
    kernels = {2: "columns", 3: "rows", 1: "columns"} if prefilter else {3: "band", 2: "band", 1: "band"}
    given, ramp = x, tuple(map(float, pre))
    for stage, axis in enumerate(list(kernels)[:2]):
        shape = list(given.shape)
        shape[axis] = taps[axis - 1].index.shape[1]
        between = scratch(x, (1, *shape), real.name)
        line_pass(kernels[axis], given, between, axis, taps[axis - 1], real, pre=ramp, stage=stage)
        given, ramp = between[0], FREE
    for k in _groups(post):
        line_pass(kernels[1], given, result[k], 1, taps[0], real, post=post[k], stage=2)
