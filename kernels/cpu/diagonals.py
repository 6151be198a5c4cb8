"""The size of the finest diagonal detail of a volume: planes of it, along z first, then along y and x in the cache."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from fastprep.core.noise import DB2
from fastprep.core.threads import run_slabs
from fastprep.kernels.cpu._numba import jit, source

_G1, _G2, _G3 = (np.float32(g) for g in DB2[1:])


def diagonals(x: npt.NDArray[Any], out: npt.NDArray[np.float32]) -> None:
    """``out`` (B, mz, my, mx): the size of the db2 detail of ``x`` (B, Z, Y, X), of every second window inside it.

    Axes along which ``out`` is as long as ``x`` take no part. Exactly 0 where ``x`` is constant along any other.
    """
    if not out.size:
        return
    deep, high, wide = (m < n for m, n in zip(out.shape[1:], x.shape[1:], strict=True))
    # Differences of what float32 does not hold are taken before they are float32.
    zero = np.float32(0) if x.dtype == np.float32 or x.itemsize <= 2 else np.float64(0)
    how: tuple[Any, ...] = (*source(x), x.shape[2:], zero, deep, high, wide)

    def work(start: int, stop: int) -> None:
        _planes(start, stop, out, *how)

    run_slabs(work, len(x) * out.shape[1])


@jit
def _planes(
    start: int,
    stop: int,
    out: Any,
    x: Any,
    origin: int,
    sb: int,
    sz: int,
    sy: int,
    sx: int,
    space: Any,
    zero: Any,
    deep: bool,
    high: bool,
    wide: bool,
) -> None:
    ny, nx = space
    _, mz, my, mx = out.shape
    plane = np.empty((ny, nx), np.float32)
    line = np.empty(nx, np.float32)
    for item in range(start, stop):
        b, k = item // mz, item % mz
        base = origin + b * sb + (2 * k if deep else k) * sz
        for y in range(ny):
            if deep:
                _along_z(x, base + y * sy, sz, sx, zero, plane[y])
            else:
                _less(x, base + y * sy, sx, zero + x[base], plane[y])
        for j in range(my):
            if high:
                _along_y(plane[2 * j], plane[2 * j + 1], plane[2 * j + 2], plane[2 * j + 3], line)
            detail = line if high else plane[j]
            result = out[b, k, j]
            for i in range(mx):
                if wide:
                    result[i] = abs(_filter(detail[2 * i], detail[2 * i + 1], detail[2 * i + 2], detail[2 * i + 3]))
                else:
                    result[i] = abs(detail[i])


@jit
def _filter(a: Any, b: Any, c: Any, d: Any) -> Any:
    # The taps sum to 0: of differences, so that what is constant leaves no rounding.
    return _G1 * np.float32(b - a) + _G2 * np.float32(c - a) + _G3 * np.float32(d - a)


@jit
def _along_z(x: Any, base: int, sz: int, sx: int, zero: Any, line: Any) -> None:
    for i in range(line.size):
        at = base + i * sx
        line[i] = _filter(zero + x[at], zero + x[at + sz], zero + x[at + 2 * sz], zero + x[at + 3 * sz])


@jit
def _less(x: Any, base: int, sx: int, center: Any, line: Any) -> None:
    for i in range(line.size):
        line[i] = (center - center + x[base + i * sx]) - center


@jit
def _along_y(a: Any, b: Any, c: Any, d: Any, line: Any) -> None:
    for i in range(line.size):
        line[i] = _filter(a[i], b[i], c[i], d[i])
