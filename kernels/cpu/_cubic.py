"""Cubic B-spline, separable: prefilter and evaluation fused along each axis.

The recursive prefilter (pole sqrt(3) - 2, mirror boundary; Unser 1999) runs on whole rows at a time: along z and y the
lanes are neighbours in x, and along x sixteen rows are transposed into a tile first. A plane is filtered and
evaluated in y and x while in cache; the result waits for the z pass in the output itself where it fits there,
else in bands of rows that bound the extra memory.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

from fastprep.core.threads import run_slabs
from fastprep.kernels.cpu._numba import Source, jit, source
from fastprep.kernels.cpu._rows import finish as _finish
from fastprep.kernels.cpu._rows import read_line as _read

_POLE = np.sqrt(3.0) - 2.0
#: |pole| ** 20 is 4e-12: what a row further away contributes.
_HALO = 20
_LANES = 16
#: Scratch as a share of input and output together.
_SCRATCH = 0.08


def cubic(
    x: npt.NDArray[Any],
    out: npt.NDArray[Any],
    index: tuple[Any, ...],
    weight: tuple[Any, ...],
    inside: npt.NDArray[np.int64],
    pre: npt.NDArray[Any],
    post: npt.NDArray[Any],
    fill: npt.NDArray[Any],
) -> None:
    """As `resample` with ``prefilter``: tables are contiguous and of the compute type, ``fill`` of the output's."""
    for k in range(len(fill)):
        _frame(out[k], inside, fill[k])
    (z0, z1), (y0, y1), (x0, x1) = inside.tolist()
    if z0 >= z1 or y0 >= y1 or x0 >= x1:
        return
    src = source(x)
    n_z, n_y, n_x = x.shape[1:]
    dtype = weight[0].dtype
    in_place = out.dtype == dtype and z1 - z0 >= n_z
    row = n_z * (x1 - x0)
    bands = _bands(x, out, y0, y1, row * dtype.itemsize, in_place)
    # One piece of scratch for all bands: a new one would be made while the last is still held.
    scratch = np.empty(0 if in_place else row * max(yb - ya for ya, yb in bands), dtype)
    for b in range(x.shape[0]):
        for ya, yb in bands:
            if in_place:
                middle = out[0, b, z0 : z0 + n_z, ya:yb, x0:x1]
            else:
                middle = scratch[: row * (yb - ya)].reshape(n_z, yb - ya, x1 - x0)
            low = max(int(index[1][:, ya:yb].min()) - _HALO, 0)
            high = min(int(index[1][:, ya:yb].max()) + 1 + _HALO, n_y)
            # Contiguous as whole tables are: a loop is compiled for one layout.
            y_index = np.ascontiguousarray(index[1][:, ya:yb] - low)
            y_weight = np.ascontiguousarray(weight[1][:, ya:yb])
            x_index, x_weight = (np.ascontiguousarray(table[2][:, x0:x1]) for table in (index, weight))
            z_index, z_weight = (np.ascontiguousarray(table[0][:, z0:z1]) for table in (index, weight))
            in_plane, along_z = (y_index, y_weight, x_index, x_weight), (z_index, z_weight)
            result = out[:, b, z0:z1, ya:yb, x0:x1]
            run_slabs(lambda start, stop: _yx(src, b, low, high, n_x, *in_plane, pre, middle, start, stop), n_z)
            run_slabs(lambda start, stop: _z(middle, *along_z, post, result, start, stop), yb - ya)


def _bands(
    x: npt.NDArray[Any], out: npt.NDArray[Any], y0: int, y1: int, row: int, in_place: bool
) -> list[tuple[int, int]]:
    """Output rows cut so that the intermediate of a band (``row`` bytes per output row) stays within `_SCRATCH`."""
    if in_place:
        return [(y0, y1)]
    rows = max(int(_SCRATCH * (x.nbytes + out.nbytes) / row), 8)
    count = -(-(y1 - y0) // rows)
    edges = [y0 + (y1 - y0) * i // count for i in range(count + 1)]
    return list(pairwise(edges))


def _frame(out: npt.NDArray[Any], inside: npt.NDArray[np.int64], value: Any) -> None:
    for axis, (start, stop) in enumerate(inside.tolist()):
        before = [slice(None)] * 4
        after = [slice(None)] * 4
        before[axis + 1] = slice(0, start)
        after[axis + 1] = slice(max(start, stop), None)
        out[tuple(before)] = value
        out[tuple(after)] = value


@jit
def _yx(
    src: Source,
    b: int,
    low: int,
    high: int,
    width: int,
    iy: Any,
    wy: Any,
    ix: Any,
    wx: Any,
    pre: Any,
    middle: Any,
    start: int,
    stop: int,
) -> None:
    """Input rows ``low <= y < high`` of planes ``start <= z < stop``, resampled in y and x into ``middle``."""
    dtype = wy.dtype
    plane = np.empty((high - low, width), dtype)
    tile = np.empty((width, _LANES), dtype)
    height, columns = iy.shape[1], ix.shape[1]
    for z in range(start, stop):
        base = src.start + b * src.sb + z * src.sz
        for y in range(low, high):
            _read(src, base + y * src.sy, plane[y - low], pre)
        prefilter_rows(plane)
        for first in range(0, height, _LANES):
            lanes = min(_LANES, height - first)
            for lane in range(_LANES):
                y = first + min(lane, lanes - 1)
                a, b_, c, d = plane[iy[0, y]], plane[iy[1, y]], plane[iy[2, y]], plane[iy[3, y]]
                wa, wb, wc, wd = wy[0, y], wy[1, y], wy[2, y], wy[3, y]
                for i in range(width):
                    tile[i, lane] = wa * a[i] + wb * b_[i] + wc * c[i] + wd * d[i]
            prefilter_rows(tile)
            for j in range(columns):
                a, b_, c, d = tile[ix[0, j]], tile[ix[1, j]], tile[ix[2, j]], tile[ix[3, j]]
                wa, wb, wc, wd = wx[0, j], wx[1, j], wx[2, j], wx[3, j]
                for lane in range(lanes):
                    middle[z, first + lane, j] = wa * a[lane] + wb * b_[lane] + wc * c[lane] + wd * d[lane]


@jit
def _z(middle: Any, iz: Any, wz: Any, post: Any, out: Any, start: int, stop: int) -> None:
    """The z pass of rows ``start <= y < stop``; ``middle`` may be the front of ``out``."""
    depth, columns = middle.shape[0], middle.shape[2]
    column = np.empty((depth, columns), wz.dtype)
    blend = np.empty(columns, wz.dtype)
    for y in range(start, stop):
        for z in range(depth):
            column[z] = middle[z, y]
        prefilter_rows(column)
        for z in range(iz.shape[1]):
            a, b, c, d = column[iz[0, z]], column[iz[1, z]], column[iz[2, z]], column[iz[3, z]]
            wa, wb, wc, wd = wz[0, z], wz[1, z], wz[2, z], wz[3, z]
            for i in range(columns):
                blend[i] = wa * a[i] + wb * b[i] + wc * c[i] + wd * d[i]
            for k in range(out.shape[0]):
                _finish(blend, out[k, z, y], post[k, 0], post[k, 1], post[k, 2], post[k, 3])


@jit
def prefilter_rows(c: Any) -> None:
    """Cubic B-spline coefficients along the first axis of (n, m), in place, mirror boundary; m lanes at a time."""
    n, m = c.shape
    if n == 1:
        return
    pole = c.dtype.type(_POLE)
    gain = c.dtype.type(6)
    for j in range(m):
        c[0, j] *= gain
    last = c.dtype.type(_POLE ** (n - 1))
    if n <= _HALO:
        edge = c.dtype.type(1 / (1 - _POLE ** (2 * n - 2)))
        for j in range(m):
            c[0, j] += last * gain * c[n - 1, j]
        for k in range(1, n - 1):
            w = gain * c.dtype.type(_POLE**k + _POLE ** (2 * n - 2 - k))
            for j in range(m):
                c[0, j] += w * c[k, j]
        for j in range(m):
            c[0, j] *= edge
    else:
        for k in range(1, _HALO):
            w = gain * c.dtype.type(_POLE**k)
            for j in range(m):
                c[0, j] += w * c[k, j]
    for k in range(1, n):
        for j in range(m):
            c[k, j] = gain * c[k, j] + pole * c[k - 1, j]
    tail = c.dtype.type(_POLE / (_POLE * _POLE - 1))
    for j in range(m):
        c[n - 1, j] = tail * (pole * c[n - 2, j] + c[n - 1, j])
    for k in range(n - 2, -1, -1):
        for j in range(m):
            c[k, j] = pole * (c[k + 1, j] - c[k, j])
