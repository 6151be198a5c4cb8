"""Interpolation through any affine: oblique, sheared, rotated.

Along an output row the input index is a straight line, so the part of the row whose taps all lie inside the
input is found once and runs without a bounds check; the rim clamps (cubic mirrors) and the rest is filled.
Coordinates are float64, ``row start + x * step``: no error accumulates along the row. Cubic holds the float32
coefficients of the whole input; nothing else allocates.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from fastprep.core.threads import run_slabs
from fastprep.kernels.cpu._coefficients import coefficients
from fastprep.kernels.cpu._half import in_slabs, narrow
from fastprep.kernels.cpu._numba import (
    Source,
    as_bits,
    as_compute,
    compute_dtype,
    fma,
    inline,
    jit,
    load_pair,
    prefetch,
    source,
)
from fastprep.kernels.cpu._rows import finish
from fastprep.kernels.cpu.resample import saturated

#: Rows done through all planes before the next: the input planes they share stay in the second-level cache.
_ROWS = 16


def warp(
    x: npt.NDArray[Any],
    out: npt.NDArray[Any],
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
    same = x.dtype.newbyteorder("=") == out.dtype
    if order == 0 and len(post) == 1 and same and _is_identity(pre) and _is_identity(post[0]):
        _copy_nearest(x, out[0], matrix, outside[0])
        return
    if out.dtype == np.float16:
        if order == 3:
            whole = np.empty(out.shape, np.float32)
            warp(x, whole, matrix, order, pre, post, outside)
            narrow(whole, out)
            return

        def planes(wide: npt.NDArray[Any], z0: int, _: int) -> None:
            start = np.eye(4)
            start[0, 3] = z0
            warp(x, wide, matrix @ start, order, pre, post, outside)

        in_slabs(planes, out)
        return
    dtype = compute_dtype(x, out)
    first, ramps, fill = as_compute(pre, dtype), as_compute(post, dtype), saturated(outside, out.dtype)
    if order == 3:
        src = source(coefficients(source(x), x.shape, first))
        sample, first = _cubic, as_compute(np.array([1.0, 0.0, -np.inf, np.inf]), dtype)
    else:
        src = source(x)
        sample = _linear if order == 1 else _nearest
    size = np.array(x.shape[1:], dtype=np.int64)
    run_slabs(
        lambda start, stop: sample(src, size, out, matrix, first, ramps, fill, start, stop), out.shape[1] * out.shape[2]
    )


def _is_identity(ramp: npt.NDArray[np.float64]) -> bool:
    return bool(np.array_equal(ramp, (1.0, 0.0, -np.inf, np.inf)))


def _copy_nearest(x: npt.NDArray[Any], out: npt.NDArray[Any], matrix: npt.NDArray[np.float64], outside: float) -> None:
    src, target, fill = as_bits(x, out, outside)
    size = np.array(x.shape[1:], dtype=np.int64)
    run_slabs(lambda start, stop: _copy(src, size, target, matrix, fill, start, stop), out.shape[0] * out.shape[1])


@inline
def _along(start: float, step: float, x: int) -> Any:
    """Input index of output ``x`` of a row, rounded once: every use sees the same number."""
    return fma(float(x), step, start)


# Not inline: it takes seconds to compile, and every kernel here would do so three to six times.
@jit
def _clear(start: float, step: float, low: float, high: float, x0: int, x1: int) -> tuple[int, int]:
    """The part of ``x0 <= x < x1`` where ``low <= start + x * step < high``."""
    if x0 >= x1:
        return x0, x0
    if step == 0:
        return (x0, x1) if low <= start < high else (x0, x0)
    a, b = (low - start) / step, (high - start) / step
    if a > b:
        a, b = b, a
    first = max(x0, int(math.floor(max(min(a, 2.0**40), -(2.0**40)))) - 1)
    last = min(x1, int(math.ceil(max(min(b, 2.0**40), -(2.0**40)))) + 2)
    while first < last and not low <= _along(start, step, first) < high:
        first += 1
    while last > first and not low <= _along(start, step, last - 1) < high:
        last -= 1
    if first >= last:
        # A step that is rounding noise: the division says where the exact line crosses, not the rounded one.
        first = x0 if low <= _along(start, step, x0) < high else x1 - 1
        last = first
    while first > x0 and low <= _along(start, step, first - 1) < high:
        first -= 1
    while last < x1 and low <= _along(start, step, last) < high:
        last += 1
    return first, max(first, last)


@inline
def _row_bounds(cz: float, cy: float, cx: float, matrix: Any, box: Any, first: int, last: int) -> tuple[int, int]:
    """The part of ``first <= x < last`` whose input index stays in ``[box[0], box[1])`` on every axis."""
    x0, x1 = _clear(cz, matrix[0, 2], box[0, 0], box[1, 0], first, last)
    x0, x1 = _clear(cy, matrix[1, 2], box[0, 1], box[1, 1], x0, x1)
    return _clear(cx, matrix[2, 2], box[0, 2], box[1, 2], x0, x1)


@jit
def _field(size: Any) -> Any:
    """The box of input indices that have a value: half a voxel around the field."""
    box = np.empty((2, 3))
    for axis in range(3):
        box[0, axis], box[1, axis] = -0.5, size[axis] - 0.5
    return box


@jit
def _interior(size: Any) -> Any:
    """The box where every tap of a linear interpolation lies in the input."""
    box = np.empty((2, 3))
    for axis in range(3):
        box[0, axis], box[1, axis] = 0.0, size[axis] - 1.0
        # A single plane or row has step 0: its neighbour is itself.
        if size[axis] == 1 and axis < 2:
            box[0, axis], box[1, axis] = -0.5, 0.5
    return box


@jit
def _copy(src: Source, size: Any, out: Any, matrix: Any, fill: Any, start: int, stop: int) -> None:
    field = _field(size)
    depth, width = out.shape[1], out.shape[3]
    for plane in range(start, stop):
        b, z = plane // depth, plane % depth
        base = src.start + b * src.sb
        for y in range(out.shape[2]):
            cz, cy, cx = _row_start(matrix, z, y)
            x0, x1 = _row_bounds(cz, cy, cx, matrix, field, 0, width)
            row = out[b, z, y]
            row[:x0] = fill
            row[x1:] = fill
            for x in range(x0, x1):
                row[x] = src.flat[_nearest_at(src, base, size, matrix, cz, cy, cx, x)]


@inline
def _nearest_at(src: Source, base: int, size: Any, matrix: Any, cz: float, cy: float, cx: float, x: int) -> Any:
    iz = min(max(int(math.floor(_along(cz, matrix[0, 2], x) + 0.5)), 0), size[0] - 1)
    iy = min(max(int(math.floor(_along(cy, matrix[1, 2], x) + 0.5)), 0), size[1] - 1)
    ix = min(max(int(math.floor(_along(cx, matrix[2, 2], x) + 0.5)), 0), size[2] - 1)
    return base + iz * src.sz + iy * src.sy + ix * src.sx


@jit
def _nearest(
    src: Source, size: Any, out: Any, matrix: Any, pre: Any, post: Any, fill: Any, start: int, stop: int
) -> None:
    field = _field(size)
    depth, width = out.shape[2], out.shape[4]
    line = np.empty(width, post.dtype)
    for plane in range(start, stop):
        b, z = plane // depth, plane % depth
        base = src.start + b * src.sb
        for y in range(out.shape[3]):
            cz, cy, cx = _row_start(matrix, z, y)
            x0, x1 = _row_bounds(cz, cy, cx, matrix, field, 0, width)
            for x in range(x0, x1):
                v = pre[0] * src.flat[_nearest_at(src, base, size, matrix, cz, cy, cx, x)] + pre[1]
                v = pre[2] if v < pre[2] else v
                line[x] = pre[3] if v > pre[3] else v
            _finish_row(out, b, z, y, line, x0, x1, post, fill)


@jit
def _finish_row(out: Any, b: int, z: int, y: int, line: Any, x0: int, x1: int, post: Any, fill: Any) -> None:
    """A row of every channel: ``line`` through its Ramp where ``x0 <= x < x1``, fill elsewhere."""
    for k in range(out.shape[0]):
        row = out[k, b, z, y]
        row[:x0] = fill[k]
        row[x1:] = fill[k]
        finish(line[x0:x1], row[x0:x1], post[k, 0], post[k, 1], post[k, 2], post[k, 3])


@jit
def _linear(
    src: Source, size: Any, out: Any, matrix: Any, pre: Any, post: Any, fill: Any, start: int, stop: int
) -> None:
    """A few rows at a time through all planes: neighbours in z find their input in the cache."""
    field, interior = _field(size), _interior(size)
    depth, height, width = out.shape[2], out.shape[3], out.shape[4]
    share, line = np.empty((3, width), post.dtype), np.empty(width, post.dtype)
    pairs, corners = np.empty((4, width), np.int32), np.empty((8, width), post.dtype)
    offset, tz, ty, tx = np.empty(width, np.int64), share[0], share[1], share[2]
    for y0 in range(0, height, _ROWS):
        for plane in range(start, stop):
            b, z = plane // depth, plane % depth
            base = src.start + b * src.sb
            for y in range(y0, min(y0 + _ROWS, height)):
                cz, cy, cx = _row_start(matrix, z, y)
                x0, x1 = _row_bounds(cz, cy, cx, matrix, field, 0, width)
                i0, i1 = _row_bounds(cz, cy, cx, matrix, interior, x0, x1)
                _linear_clamped(src, base, size, matrix, cz, cy, cx, pre, line, x0, i0)
                _locate(src, base, matrix, cz, cy, cx, i0, offset[: i1 - i0], tz, ty, tx)
                _blend(src, offset, tz, ty, tx, pairs, corners, pre, line[i0:i1])
                _linear_clamped(src, base, size, matrix, cz, cy, cx, pre, line, i1, x1)
                _finish_row(out, b, z, y, line, x0, x1, post, fill)


@inline
def _row_start(matrix: Any, z: int, y: int) -> tuple[float, float, float]:
    """Input index (z, y, x) of the first output of a row."""
    return (
        matrix[0, 0] * z + matrix[0, 3] + matrix[0, 1] * y,
        matrix[1, 0] * z + matrix[1, 3] + matrix[1, 1] * y,
        matrix[2, 0] * z + matrix[2, 3] + matrix[2, 1] * y,
    )


@jit
def _blend(
    src: Source, offset: Any, tz: Any, ty: Any, tx: Any, pairs: Any, corners: Any, pre: Any, values: Any
) -> None:
    """Trilinear values of outputs whose taps all lie inside the input.

    One loop a step, because only the scattered loads cannot run on vectors. Of a 16-bit input one 32-bit load
    brings two neighbours in x.
    """
    n = values.size
    plain = pre[0] == 1 and pre[1] == 0 and pre[2] == -np.inf and pre[3] == np.inf
    if src.sx == 1 and src.flat.itemsize == 2:
        _gather_pairs(src, offset, pairs, n)
        if plain:
            _lerp_pairs(src, pairs, tz, ty, tx, values)
            return
        _unpack(src, pairs, corners, n)
    else:
        _gather_corners(src, offset, corners, n)
    if not plain:
        for c in range(8):
            for i in range(n):
                corners[c, i] = _map(corners[c, i], pre[0], pre[1], pre[2], pre[3])
    for i in range(n):
        v0, v1, v2, v3 = corners[0, i], corners[1, i], corners[2, i], corners[3, i]
        v4, v5, v6, v7 = corners[4, i], corners[5, i], corners[6, i], corners[7, i]
        values[i] = _trilinear(v0, v1, v2, v3, v4, v5, v6, v7, tz[i], ty[i], tx[i])


@jit
def _lerp_pairs(src: Source, pairs: Any, tz: Any, ty: Any, tx: Any, target: Any) -> None:
    stored, to = src.flat.dtype.type, target.dtype.type
    for i in range(target.size):
        v0, v1 = to(stored(pairs[0, i])), to(stored(pairs[0, i] >> 16))
        v2, v3 = to(stored(pairs[1, i])), to(stored(pairs[1, i] >> 16))
        v4, v5 = to(stored(pairs[2, i])), to(stored(pairs[2, i] >> 16))
        v6, v7 = to(stored(pairs[3, i])), to(stored(pairs[3, i] >> 16))
        target[i] = _trilinear(v0, v1, v2, v3, v4, v5, v6, v7, tz[i], ty[i], tx[i])


@jit
def _unpack(src: Source, pairs: Any, corners: Any, n: int) -> None:
    stored = src.flat.dtype.type
    for p in range(4):
        for i in range(n):
            corners[2 * p, i], corners[2 * p + 1, i] = stored(pairs[p, i]), stored(pairs[p, i] >> 16)


@jit
def _locate(
    src: Source,
    base: int,
    matrix: Any,
    cz: float,
    cy: float,
    cx: float,
    x0: int,
    offset: Any,
    tz: Any,
    ty: Any,
    tx: Any,
) -> None:
    """Offset of the lowest corner of each output of a row from ``x0`` on, and its fractions."""
    mz, my, mx = matrix[0, 2], matrix[1, 2], matrix[2, 2]
    start, sz, sy, sx = float(base), float(src.sz), float(src.sy), float(src.sx)
    for i in range(offset.size):
        x = x0 + i
        pz, py, px = _along(cz, mz, x), _along(cy, my, x), _along(cx, mx, x)
        fz, fy, fx = math.floor(pz), math.floor(py), math.floor(px)
        tz[i], ty[i], tx[i] = pz - fz, py - fy, px - fx
        offset[i] = int(fma(fz, sz, fma(fy, sy, fma(fx, sx, start))))


@jit
def _gather_pairs(src: Source, offset: Any, pairs: Any, n: int) -> None:
    """Into ``pairs`` (4, n): voxels x and x + 1 at (z, y), (z, y + 1), (z + 1, y), (z + 1, y + 1)."""
    flat, uz, uy = src.flat, np.uint64(src.sz), np.uint64(src.sy)
    for i in range(n):
        at = np.uint64(offset[i])
        # What the same row of the next output plane will read.
        prefetch(flat, at + uz + uz + uy)
        pairs[0, i], pairs[1, i] = load_pair(flat, at), load_pair(flat, at + uy)
        pairs[2, i], pairs[3, i] = load_pair(flat, at + uz), load_pair(flat, at + uz + uy)


@jit
def _gather_corners(src: Source, offset: Any, corners: Any, n: int) -> None:
    """Into ``corners`` (8, n): the voxels around each output, x fastest."""
    flat, uz, uy, ux = src.flat, np.uint64(src.sz), np.uint64(src.sy), np.uint64(src.sx)
    for i in range(n):
        at = np.uint64(offset[i])
        corners[0, i], corners[1, i] = flat[at], flat[at + ux]
        corners[2, i], corners[3, i] = flat[at + uy], flat[at + uy + ux]
        corners[4, i], corners[5, i] = flat[at + uz], flat[at + uz + ux]
        corners[6, i], corners[7, i] = flat[at + uz + uy], flat[at + uz + uy + ux]


@inline
def _trilinear(
    v0: Any, v1: Any, v2: Any, v3: Any, v4: Any, v5: Any, v6: Any, v7: Any, tz: Any, ty: Any, tx: Any
) -> Any:
    """Eight corners, x fastest, blended along x, then y, then z."""
    v0, v2 = fma(v1 - v0, tx, v0), fma(v3 - v2, tx, v2)
    v4, v6 = fma(v5 - v4, tx, v4), fma(v7 - v6, tx, v6)
    v0, v4 = fma(v2 - v0, ty, v0), fma(v6 - v4, ty, v4)
    return fma(v4 - v0, tz, v0)


@inline
def _map(v: Any, a: Any, b: Any, lo: Any, hi: Any) -> Any:
    y = a * v + b
    y = lo if y < lo else y
    return hi if y > hi else y


@jit
def _linear_clamped(
    src: Source,
    base: int,
    size: Any,
    matrix: Any,
    cz: float,
    cy: float,
    cx: float,
    pre: Any,
    line: Any,
    x0: int,
    x1: int,
) -> None:
    a, b, lo, hi = pre[0], pre[1], pre[2], pre[3]
    to = line.dtype.type
    for x in range(x0, x1):
        pz = min(max(_along(cz, matrix[0, 2], x), 0.0), size[0] - 1.0)
        py = min(max(_along(cy, matrix[1, 2], x), 0.0), size[1] - 1.0)
        px = min(max(_along(cx, matrix[2, 2], x), 0.0), size[2] - 1.0)
        fz, fy, fx = int(pz), int(py), int(px)
        tz, ty, tx = to(pz - fz), to(py - fy), to(px - fx)
        z0, z1 = base + fz * src.sz, base + min(fz + 1, size[0] - 1) * src.sz
        y0, y1 = fy * src.sy, min(fy + 1, size[1] - 1) * src.sy
        x_0, x_1 = fx * src.sx, min(fx + 1, size[2] - 1) * src.sx
        v0, v1 = to(src.flat[z0 + y0 + x_0]), to(src.flat[z0 + y0 + x_1])
        v2, v3 = to(src.flat[z0 + y1 + x_0]), to(src.flat[z0 + y1 + x_1])
        v4, v5 = to(src.flat[z1 + y0 + x_0]), to(src.flat[z1 + y0 + x_1])
        v6, v7 = to(src.flat[z1 + y1 + x_0]), to(src.flat[z1 + y1 + x_1])
        v0, v1, v2, v3 = _map(v0, a, b, lo, hi), _map(v1, a, b, lo, hi), _map(v2, a, b, lo, hi), _map(v3, a, b, lo, hi)
        v4, v5, v6, v7 = _map(v4, a, b, lo, hi), _map(v5, a, b, lo, hi), _map(v6, a, b, lo, hi), _map(v7, a, b, lo, hi)
        line[x] = _trilinear(v0, v1, v2, v3, v4, v5, v6, v7, tz, ty, tx)


@jit
def _cubic(
    src: Source, size: Any, out: Any, matrix: Any, pre: Any, post: Any, fill: Any, start: int, stop: int
) -> None:
    field = _field(size)
    depth, width = out.shape[2], out.shape[4]
    line = np.empty(width, post.dtype)
    at = np.empty((3, 4), np.int64)
    w = np.empty((3, 4), post.dtype)
    steps = (src.sz, src.sy, src.sx)
    for plane in range(start, stop):
        b, z = plane // depth, plane % depth
        base = src.start + b * src.sb
        for y in range(out.shape[3]):
            c = _row_start(matrix, z, y)
            x0, x1 = _row_bounds(c[0], c[1], c[2], matrix, field, 0, width)
            for x in range(x0, x1):
                for axis in range(3):
                    _cubic_taps(_along(c[axis], matrix[axis, 2], x), size[axis], steps[axis], at[axis], w[axis])
                total = post.dtype.type(0)
                for i in range(4):
                    plane_sum = post.dtype.type(0)
                    for j in range(4):
                        row = base + at[0, i] + at[1, j]
                        value = (
                            w[2, 0] * src.flat[row + at[2, 0]]
                            + w[2, 1] * src.flat[row + at[2, 1]]
                            + w[2, 2] * src.flat[row + at[2, 2]]
                            + w[2, 3] * src.flat[row + at[2, 3]]
                        )
                        plane_sum += w[1, j] * value
                    total += w[0, i] * plane_sum
                line[x] = total
            _finish_row(out, b, z, y, line, x0, x1, post, fill)


@jit
def _cubic_taps(c: float, n: int, step: int, at: Any, w: Any) -> None:
    """Offsets (mirrored at the ends) and B-spline weights of the four taps around ``c``."""
    f = math.floor(c)
    t = c - f
    first = int(f) - 1
    for i in range(4):
        k = first + i
        if n == 1:
            k = 0
        else:
            period = 2 * n - 2
            k = k % period
            k = period - k if k >= n else k
        at[i] = k * step
    w[0] = (1 - t) ** 3 / 6
    w[1] = (3 * t**3 - 6 * t**2 + 4) / 6
    w[3] = t**3 / 6
    w[2] = 1 - ((1 - t) ** 3 / 6 + (3 * t**3 - 6 * t**2 + 4) / 6 + t**3 / 6)
