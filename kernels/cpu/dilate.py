"""Masks grown, or shrunk, by a ball: 64 voxels in a word, and no arithmetic but that of bits.

The rows of the ball that reach h voxels along x are those of a neighbourhood; with G_h all those rows of the mask
put together, the answer is ``G_0 | spread(G_1 | spread(G_2 | ...))``, where ``spread`` goes one voxel to either side.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from fastprep.core.ball import row_offsets
from fastprep.core.threads import run_slabs
from fastprep.kernels.cpu._bits import ALL, load_some, lowest, store_64, store_some
from fastprep.kernels.cpu._numba import inline, jit, source
from fastprep.kernels.cpu._words import large_ones

#: Rows of a tile: what is put together stays in the nearest cache.
_TILE = 64
_ONE, _TOP = np.uint64(1), np.uint64(63)


def dilate(
    mask: npt.NDArray[Any],
    ball: npt.NDArray[np.int32],
    complement: bool,
    beyond: bool,
    out: npt.NDArray[np.bool_],
) -> None:
    """``out`` where the ``ball`` around a voxel holds one that is set, of ``mask`` (B, Z, Y, X), bytes; may be that.

    With ``complement`` where it holds none that is not set: eroded. ``ball`` is that of `ball_rows`. What lies beyond
    the volume is neither; with ``beyond`` it is what makes the answer change, set or with ``complement`` not.
    """
    volumes, nz, ny, nx = mask.shape
    if mask.size == 0:
        return
    marks = source((mask if mask.strides[3] == 1 else np.ascontiguousarray(mask)).view(np.uint8))
    # What spreads over the end of a row ends before the next begins.
    words = -(-(nx + int(ball[0, 0])) // 64)
    bits = np.empty((volumes * nz, ny * words), np.uint64)
    extent = np.zeros((volumes * nz, 2), np.int64)
    run_slabs(lambda start, stop: _pack(marks, nz, ny, nx, words, complement, start, stop, bits, extent), volumes * nz)
    offsets = row_offsets(ball).astype(np.int64)
    reach = (ball.shape[0] - 1, ball.shape[1] - 1, int(ball[0, 0])) if beyond else (0, 0, 0)
    flat, tiles = out.view(np.uint8).reshape(-1), volumes * nz * -(-ny // _TILE)

    def work(start: int, stop: int) -> None:
        _grow(bits, extent, offsets, reach, nz, ny, nx, words, complement, start, stop, flat)

    run_slabs(work, tiles)


@jit
def _pack(
    x: Any, nz: int, ny: int, nx: int, words: int, complement: bool, start: int, stop: int, bits: Any, extent: Any
) -> None:
    """Planes as words, and from which row to which they hold anything."""
    flip, one = ALL if complement else np.uint64(0), np.uint8(1)
    for plane in range(start, stop):
        base = x.start + plane // nz * x.sb + plane % nz * x.sz
        first, last = ny, 0
        line = bits[plane]
        for y in range(ny):
            at, any_set = base + y * x.sy, np.uint64(0)
            for w in range(words):
                left = nx - 64 * w
                if left >= 64:
                    word = large_ones(x.flat, at + 64 * w, one) ^ flip
                elif left > 0:
                    word = (load_some(x.flat, at + 64 * w, left) ^ flip) & lowest(left)
                else:
                    word = np.uint64(0)
                line[y * words + w] = word
                any_set |= word
            if any_set != 0:
                first, last = min(first, y), y + 1
        extent[plane, 0], extent[plane, 1] = first, last


@jit
def _grow(
    bits: Any,
    extent: Any,
    offsets: Any,
    reach: Any,
    nz: int,
    ny: int,
    nx: int,
    words: int,
    complement: bool,
    start: int,
    stop: int,
    out: Any,
) -> None:
    # A word more at both ends, so that none needs to look whether it is the last.
    some, other = np.zeros(_TILE * words + 2, np.uint64), np.zeros(_TILE * words + 2, np.uint64)
    tiles = -(-ny // _TILE)
    flip = ALL if complement else np.uint64(0)
    for tile in range(start, stop):
        plane, y0 = tile // tiles, tile % tiles * _TILE
        z, rows = plane % nz, min(_TILE, ny - y0)
        used = rows * words + 2
        some[:used] = 0
        anything, full = False, z < reach[0] or z >= nz - reach[0]
        width, k = offsets[0, 2], 0
        while not full and width >= 0:
            while k < offsets.shape[0] and offsets[k, 2] == width:
                dz, dy = offsets[k, 0], offsets[k, 1]
                k += 1
                if z + dz < 0 or z + dz >= nz:
                    continue
                low, high = max(y0, extent[plane + dz, 0] - dy), min(y0 + rows, extent[plane + dz, 1] - dy)
                if low < high:
                    count, a, b = (high - low) * words, 1 + (low - y0) * words, (low + dy) * words
                    _put_together(some[a : a + count], bits[plane + dz, b : b + count])
                    anything = True
            if anything:
                full = _is_full(some, rows, words, nx)
                if width > 0 and not full:
                    _spread(some, other, used)
                    some, other = other, some
            elif k == offsets.shape[0]:
                break
            width -= 1
        for y in range(y0, y0 + rows):
            whole = full or y < reach[1] or y >= ny - reach[1]
            at, a = (plane * ny + y) * nx, 1 + (y - y0) * words
            for x in range(0, nx, 64):
                word = ALL if whole else some[a + x // 64] | lowest(reach[2] - x) | ~lowest(nx - reach[2] - x)
                if x + 64 <= nx:
                    store_64(out, at + x, word ^ flip)
                else:
                    store_some(out, at + x, nx - x, word ^ flip)


@inline
def _put_together(some: Any, more: Any) -> None:
    for i in range(some.size):
        some[i] |= more[i]


@inline
def _spread(some: Any, other: Any, used: int) -> None:
    """``other`` = ``some`` and one voxel to either side."""
    other[0] = other[used - 1] = 0
    for i in range(1, used - 1):
        a = some[i]
        other[i] = a | (a << _ONE) | (some[i - 1] >> _TOP) | (a >> _ONE) | (some[i + 1] << _TOP)


@inline
def _is_full(some: Any, rows: int, words: int, nx: int) -> bool:
    """Whether every voxel is set."""
    for y in range(rows):
        for x in range(0, nx, 64):
            if some[1 + y * words + x // 64] | ~lowest(nx - x) != ALL:
                return False
    return True
