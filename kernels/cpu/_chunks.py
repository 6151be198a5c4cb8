"""Chunks of the voxels inside a mask: as they lie in memory where that is one piece, else as a copy in the cache."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from fastprep.core.threads import run_slabs
from fastprep.kernels.cpu._lanes import LANES
from fastprep.kernels.cpu._numba import jit, source

#: Voxels of a chunk, in C order.
CHUNK = 1 << 14

_EVERYWHERE = np.ones(1, np.uint8)
# As `source` gives a mask: with and without one a kernel is the same, and compiled once.
_EVERYWHERE.setflags(write=False)


class Voxels(NamedTuple):
    """Volumes and their masks: flat memory, first element, steps of (b, z, y, x); axes that can be are one."""

    x: Any
    start: int
    sb: int
    sz: int
    sy: int
    sx: int
    mask: Any
    origin: int
    mb: int
    mz: int
    my: int
    mx: int
    masked: bool
    ny: int
    nx: int
    #: Voxels of a volume, and the chunks they make.
    size: int
    chunks: int


def voxels(x: npt.NDArray[Any], mask: npt.NDArray[Any] | None) -> Voxels:
    """What `chunk` reads ``x`` (B, Z, Y, X) and its mask by."""
    flat, start, sb, *steps = source(x)
    marks, origin, mb, *jumps = (_EVERYWHERE, 0, 0, 0, 0, 0) if mask is None else source(as_bytes(mask))
    _, nz, ny, nx = x.shape
    (sz, sy, sx), (mz, my, mx) = steps, jumps
    free = mask is None

    def follows(s: int, m: int, inner_s: int, inner_m: int, n: int) -> bool:
        return s == n * inner_s and (free or m == n * inner_m)

    if nz == 1 or ny == 1 or follows(sz, mz, sy, my, ny):
        if ny == 1:
            sy, my = sz, mz
        nz, ny, sz, mz = 1, nz * ny, 0, 0
    if ny == 1 or follows(sy, my, sx, mx, nx):
        nx, ny, sy, my, nz, sz, mz = nx * ny, nz, sz, mz, 1, 0, 0
    size = nz * ny * nx
    chunks = -(-size // CHUNK)
    return Voxels(flat, start, sb, sz, sy, sx, marks, origin, mb, mz, my, mx, not free, ny, nx, size, chunks)


def over_chunks(work: Callable[[int, int], None], batch: int, v: Voxels) -> None:
    """``work(start, stop)`` over the chunks of all volumes, on every thread."""
    run_slabs(work, batch * v.chunks)


@jit
def buffers(v: Any) -> Any:
    """Room for the values and marks of a chunk that is copied, and the marks of one without a mask."""
    return np.empty(CHUNK, v.x.dtype), np.empty(CHUNK, np.uint8), np.ones(CHUNK, np.uint8)


@jit
def chunk(v: Any, c: int, room: Any) -> Any:
    """Values and marks (uint8, not zero inside) of chunk ``c`` of all, of a multiple of `LANES` voxels."""
    b, k = c // v.chunks, c % v.chunks
    first, last = k * CHUNK, min((k + 1) * CHUNK, v.size)
    n = last - first
    values, marks, everywhere = room
    base, origin = v.start + b * v.sb, v.origin + b * v.mb
    row, left = first // v.nx, first % v.nx
    z, y = row // v.ny, row % v.ny
    at, there = base + z * v.sz + y * v.sy + left * v.sx, origin + z * v.mz + y * v.my + left * v.mx
    whole = n % LANES == 0 and left + n <= v.nx
    if whole and v.sx == 1 and not v.masked:
        return v.x[at : at + n], everywhere[:n]
    if whole and v.sx == 1 and v.mx == 1:
        return v.x[at : at + n], v.mask[there : there + n]
    filled = -(-n // LANES) * LANES
    marks[n:filled] = 0
    values[n:filled] = 0
    done = 0
    while done < n:
        row, left = (first + done) // v.nx, (first + done) % v.nx
        m = min(v.nx - left, n - done)
        z, y = row // v.ny, row % v.ny
        _read(v.x, base + z * v.sz + y * v.sy + left * v.sx, v.sx, values[done : done + m])
        if v.masked:
            _read(v.mask, origin + z * v.mz + y * v.my + left * v.mx, v.mx, marks[done : done + m])
        else:
            marks[done : done + m] = 1
        done += m
    return values[:filled], marks[:filled]


@jit
def _read(flat: Any, base: int, step: int, line: Any) -> None:
    for i in range(line.size):
        line[i] = flat[base + i * step]


def as_bytes(mask: npt.NDArray[Any]) -> npt.NDArray[np.uint8]:
    """A mask as bytes, not zero inside; of one volume for all as one."""
    if mask.itemsize > 1:
        one = mask[:1] if mask.strides[0] == 0 else mask
        mask = np.broadcast_to(one != 0, mask.shape)
    return mask.view(np.uint8)
