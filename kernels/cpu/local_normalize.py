"""Each voxel by the mean and standard deviation of its neighbours, at a cost that does not grow with their number.

A thread takes a band of rows through all planes, and keeps the sums over planes of that band in its cache. What enters
a window is added and what leaves it subtracted, along each axis; the bands are the same for any number of threads.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from fastprep.core.box import SPREAD
from fastprep.core.threads import run_slabs
from fastprep.kernels.cpu._half import narrow
from fastprep.kernels.cpu._numba import jit, source

#: Rows of a band, at the least; those around it are summed twice.
_ROWS = 64


def local_normalize(
    x: npt.NDArray[Any],
    out: npt.NDArray[Any],
    mask: npt.NDArray[Any] | None,
    reach: tuple[int, ...],
    centers: npt.NDArray[np.float64],
    stds: npt.NDArray[np.float64],
    floor: float,
) -> None:
    """``out = (x - m) / s``, of the voxels inside ``mask`` that are up to ``reach`` away: all (B, Z, Y, X).

    ``m`` and ``s`` are their mean and standard deviation, which is at least ``floor`` times that of the volume's entry
    of ``stds``; 0 where there are none, or they do not differ. Sums are of differences from ``centers``.
    """
    if out.dtype == np.float16:
        wide = np.empty(out.shape, np.float32)
        local_normalize(x, wide, mask, reach, centers, stds, floor)
        narrow(wide[None], out[None])
        return
    ny = x.shape[2]
    rz, ry, rx = (min(r, n - 1) for r, n in zip(reach, x.shape[1:], strict=True))
    values = _layout(x)
    marks = _layout(np.ones((1, 1, 1, 1), np.uint8) if mask is None else mask)
    bands = -(-ny // max(_ROWS, 4 * ry))

    def work(start: int, stop: int) -> None:
        for item in range(start, stop):
            b, k = divmod(item, bands)
            how = mask is not None, rz, ry, rx, centers[b], stds[b], floor
            _band(values, marks, b, ny * k // bands, ny * (k + 1) // bands, *how, out[b])

    run_slabs(work, len(x) * bands)


def _layout(x: npt.NDArray[Any]) -> tuple[Any, ...]:
    """Flat memory, where the first voxel is, and the steps along B, Z, Y, X."""
    return tuple(source(x))


@jit
def _band(
    x: Any,
    mask: Any,
    b: int,
    y0: int,
    y1: int,
    masked: bool,
    rz: int,
    ry: int,
    rx: int,
    center: float,
    std: float,
    floor: float,
    out: Any,
) -> None:
    nz, ny, nx = out.shape
    top, bottom = max(y0 - ry, 0), min(y1 + ry, ny)
    planes = np.zeros((3, bottom - top, nx))
    rows = np.zeros((3, nx + 2 * rx + 1))
    box = np.empty((3, nx))
    across = np.empty(nx)
    for i in range(nx):
        across[i] = min(i + rx, nx - 1) - max(i - rx, 0) + 1
    for z in range(min(rz, nz)):
        _plane(x, mask, masked, b, z, top, center, 1.0, planes)
    for z in range(nz):
        if z + rz < nz:
            _plane(x, mask, masked, b, z + rz, top, center, 1.0, planes)
        if z > rz:
            _plane(x, mask, masked, b, z - rz - 1, top, center, -1.0, planes)
        deep = min(z + rz, nz - 1) - max(z - rz, 0) + 1
        rows[:] = 0.0
        inner = rows[:, rx + 1 : rx + 1 + nx]
        for y in range(top, min(y0 + ry, bottom)):
            _row(planes, y - top, masked, 1.0, inner)
        for y in range(y0, y1):
            if y + ry < bottom:
                _row(planes, y + ry - top, masked, 1.0, inner)
            if y - ry - 1 >= top:
                _row(planes, y - ry - 1 - top, masked, -1.0, inner)
            high = min(y + ry, ny - 1) - max(y - ry, 0) + 1
            if not masked:
                for i in range(nx):
                    box[2, i] = across[i] * (deep * high)
            _windows(rows, rx, masked, box)
            flat, start, sb, sz, sy, sx = x
            _finish(flat, start + b * sb + z * sz + y * sy, sx, box, center, std, floor, out[z, y])


@jit
def _plane(x: Any, mask: Any, masked: bool, b: int, z: int, top: int, center: float, sign: float, planes: Any) -> None:
    """Plane z of the band into, or out of, the sums over planes."""
    flat, start, sb, sz, sy, sx = x
    marks, origin, mb, mz, my, mx = mask
    for k in range(planes.shape[1]):
        y = top + k
        base, at = start + b * sb + z * sz + y * sy, origin + b * mb + z * mz + y * my
        total, square, count = planes[0, k], planes[1, k], planes[2, k]
        if masked:
            for i in range(total.size):
                inside = marks[at + i * mx] != 0
                v = np.float64(flat[base + i * sx]) - center
                v = v if inside else np.float64(0)
                total[i] += sign * v
                square[i] += sign * (v * v)
                count[i] += sign if inside else 0.0
        else:
            for i in range(total.size):
                v = np.float64(flat[base + i * sx]) - center
                total[i] += sign * v
                square[i] += sign * (v * v)


@jit
def _row(planes: Any, k: int, masked: bool, sign: float, rows: Any) -> None:
    for part in range(3 if masked else 2):
        line, row = planes[part, k], rows[part]
        for i in range(line.size):
            row[i] += sign * line[i]


@jit
def _windows(rows: Any, rx: int, masked: bool, box: Any) -> None:
    """Sums along x, of rows with zeros around them."""
    width = 2 * rx + 1
    total, square, count = 0.0, 0.0, 0.0
    for j in range(1, width):
        total += rows[0, j]
        square += rows[1, j]
        count += rows[2, j]
    for i in range(box.shape[1]):
        total += rows[0, i + width] - rows[0, i]
        square += rows[1, i + width] - rows[1, i]
        box[0, i], box[1, i] = total, square
        if masked:
            count += rows[2, i + width] - rows[2, i]
            box[2, i] = count


@jit
def _finish(flat: Any, base: int, sx: int, box: Any, center: float, std: float, floor: float, out: Any) -> None:
    total, square, count = box[0], box[1], box[2]
    least, none = floor * std, SPREAD * (std * std)
    for i in range(out.size):
        n = count[i]
        mean = total[i] / n
        variance = square[i] / n - mean * mean
        # NaN, of no voxel, is flat.
        differs = variance > none + SPREAD * (mean * mean)
        spread = np.sqrt(variance if differs else 0.0)
        spread = spread if spread > least else least
        result = (np.float64(flat[base + i * sx]) - center - mean) / spread
        out[i] = result if n > 0.0 and spread > 0.0 else 0.0
