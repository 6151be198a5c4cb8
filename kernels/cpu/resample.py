"""Separable interpolation: a few weighted taps per axis, between a Ramp before and Ramps after.

``out[k, b, z, y, x] = post_k( sum_tuv wz[t, z] wy[u, y] wx[v, x] * c[b, iz[t, z], iy[u, y], ix[v, x]] )`` where
``c`` is ``pre(x)``, or its cubic B-spline coefficients (mirror boundary) when ``prefilter``.

Every input row is read once in its own dtype, every output row written once. Each thread walks its output
planes in order and keeps the last few input planes, already resampled in y and x, in its cache; so a plane is
resampled once however many output planes it serves. The cubic path is in `_cubic.py`.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from fastprep.core.threads import run_slabs
from fastprep.kernels.cpu._cubic import cubic
from fastprep.kernels.cpu._half import in_slabs, narrow
from fastprep.kernels.cpu._numba import Source, as_compute, compute_dtype, jit, source
from fastprep.kernels.cpu._rows import add_into, finish, lerp_into, read_line, scale_into

Tables = tuple[npt.NDArray[Any], npt.NDArray[Any], npt.NDArray[Any]]


def resample(
    x: npt.NDArray[Any],
    out: npt.NDArray[Any],
    index: Tables,
    weight: Tables,
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
    if out.dtype == np.float16:
        if prefilter:
            wide = np.empty(out.shape, np.float32)
            resample(x, wide, index, weight, inside, prefilter, pre, post, outside)
            narrow(wide, out)
            return

        def planes(wide: npt.NDArray[Any], z0: int, z1: int) -> None:
            part = (index[0][:, z0:z1], *index[1:]), (weight[0][:, z0:z1], *weight[1:])
            box = inside.copy()
            box[0] = np.clip(inside[0] - z0, 0, z1 - z0)
            resample(x, wide, *part, box, prefilter, pre, post, outside)

        in_slabs(planes, out)
        return
    dtype = compute_dtype(x, out)
    tables, weights = _contiguous(index, np.dtype(np.int64)), _contiguous(weight, dtype)
    ramps = as_compute(pre, dtype), as_compute(post, dtype)
    fill = saturated(outside, out.dtype)
    if prefilter:
        cubic(x, out, tables, weights, inside, *ramps, fill)
        return
    src = source(x)
    run_slabs(
        lambda start, stop: _planes(src, x.shape[3], out, *tables, *weights, inside, *ramps, fill, start, stop),
        out.shape[1] * out.shape[2],
    )


def _contiguous(tables: Tables, dtype: np.dtype[Any]) -> Tables:
    z, y, x = (np.ascontiguousarray(table, dtype=dtype) for table in tables)
    return z, y, x


def saturated(values: npt.NDArray[np.float64], dtype: np.dtype[Any]) -> npt.NDArray[Any]:
    """``values`` in the output's type: integers rounded half to even and held in range."""
    if dtype.kind in "iu":
        info = np.iinfo(dtype)
        return np.array([min(max(round(v), info.min), info.max) if v == v else 0 for v in values], dtype=dtype)
    return values.astype(dtype)


@jit
def _planes(
    src: Source,
    width: int,
    out: Any,
    iz: Any,
    iy: Any,
    ix: Any,
    wz: Any,
    wy: Any,
    wx: Any,
    inside: Any,
    pre: Any,
    post: Any,
    fill: Any,
    start: int,
    stop: int,
) -> None:
    channels, depth = out.shape[0], out.shape[2]
    z0, z1, y0, y1, x0, x1 = inside[0, 0], inside[0, 1], inside[1, 0], inside[1, 1], inside[2, 0], inside[2, 1]
    taps = wz.shape[0]
    planes = np.empty((taps, y1 - y0, x1 - x0), wz.dtype)
    held = np.full(taps, -1, np.int64)
    rows = np.empty((wy.shape[0], x1 - x0), wz.dtype)
    rows_held = np.empty(wy.shape[0], np.int64)
    line = np.empty(width, wz.dtype)
    blend = np.empty(x1 - x0, wz.dtype)
    slot = np.empty(max(taps, wy.shape[0]), np.int64)
    for plane in range(start, stop):
        b, z = plane // depth, plane % depth
        if not (z0 <= z < z1 and y0 < y1 and x0 < x1):
            for k in range(channels):
                out[k, b, z] = fill[k]
            continue
        if plane == start or z == z0:
            held[:] = -1
        for t in range(taps):
            slot[t] = _find(held, iz, z, t, taps)
            if held[slot[t]] != iz[t, z]:
                held[slot[t]] = iz[t, z]
                base = src.start + b * src.sb + iz[t, z] * src.sz
                _plane(src, base, line, rows, rows_held, iy, ix, wy, wx, y0, y1, x0, x1, pre, planes[slot[t]])
        for k in range(channels):
            out[k, b, z, :y0] = fill[k]
            out[k, b, z, y1:] = fill[k]
        for y in range(y0, y1):
            if taps == 1:
                scale_into(blend, planes[slot[0], y - y0], wz[0, z])
            elif taps == 2:
                lerp_into(blend, planes[slot[0], y - y0], planes[slot[1], y - y0], wz[1, z])
            else:
                scale_into(blend, planes[slot[0], y - y0], wz[0, z])
                for t in range(1, taps):
                    add_into(blend, planes[slot[t], y - y0], wz[t, z])
            for k in range(channels):
                row = out[k, b, z, y]
                row[:x0] = fill[k]
                row[x1:] = fill[k]
                finish(blend, row[x0:x1], post[k, 0], post[k, 1], post[k, 2], post[k, 3])


@jit
def _find(held: Any, needed: Any, at: int, t: int, taps: int) -> int:
    """The slot that holds input ``needed[t, at]``, else one that no tap of output ``at`` needs."""
    for s in range(taps):
        if held[s] == needed[t, at]:
            return s
    for s in range(taps):
        free = True
        for u in range(taps):
            if held[s] == needed[u, at]:
                free = False
        if free:
            return s
    return 0


@jit
def _plane(
    src: Source,
    base: int,
    line: Any,
    rows: Any,
    rows_held: Any,
    iy: Any,
    ix: Any,
    wy: Any,
    wx: Any,
    y0: int,
    y1: int,
    x0: int,
    x1: int,
    pre: Any,
    plane: Any,
) -> None:
    """One input plane resampled in x, then y, into ``plane``."""
    taps = wy.shape[0]
    rows_held[:] = -1
    slot = np.empty(taps, np.int64)
    for y in range(y0, y1):
        for t in range(taps):
            slot[t] = _find(rows_held, iy, y, t, taps)
            if rows_held[slot[t]] != iy[t, y]:
                rows_held[slot[t]] = iy[t, y]
                read_line(src, base + iy[t, y] * src.sy, line, pre)
                _along_x(line, rows[slot[t]], ix, wx, x0, x1)
        target = plane[y - y0]
        if taps == 1:
            scale_into(target, rows[slot[0]], wy[0, y])
        elif taps == 2:
            lerp_into(target, rows[slot[0]], rows[slot[1]], wy[1, y])
        else:
            scale_into(target, rows[slot[0]], wy[0, y])
            for t in range(1, taps):
                add_into(target, rows[slot[t]], wy[t, y])


@jit
def _along_x(line: Any, row: Any, ix: Any, wx: Any, x0: int, x1: int) -> None:
    taps = wx.shape[0]
    n = x1 - x0
    if taps == 2:
        first, second, w = ix[0, x0:x1], ix[1, x0:x1], wx[1, x0:x1]
        for i in range(n):
            v = line[np.uint64(first[i])]
            row[i] = v + (line[np.uint64(second[i])] - v) * w[i]
        return
    first, w = ix[0, x0:x1], wx[0, x0:x1]
    for i in range(n):
        row[i] = line[np.uint64(first[i])] * w[i]
    for t in range(1, taps):
        first, w = ix[t, x0:x1], wx[t, x0:x1]
        for i in range(n):
            row[i] += line[np.uint64(first[i])] * w[i]
