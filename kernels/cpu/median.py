"""The median of the box around each voxel: a network of comparisons for a row at a time, or counts of what is inside.

Counts are of values where these are few, else of their places among all that a row of windows holds.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from fastprep.core.border import mirrored_with_ends
from fastprep.core.threads import run_slabs
from fastprep.kernels.cpu._compare import BLOCK, compare
from fastprep.kernels.cpu._network import median_program
from fastprep.kernels.cpu._numba import jit, native, source

#: Bytes of all values that are kept at a time: what stays in the first cache, unless rows become too short for loops.
_ROOM, _SHORTEST = 2**15, 16
#: Voxels of a box, at the most, for a network.
_MOST = 350
#: Places that are counted together, too.
_COARSE = 256


def median(x: npt.NDArray[Any], out: npt.NDArray[Any], reach: tuple[int, ...]) -> None:
    """``out`` = median of the voxels up to ``reach`` away from each of ``x`` (B, Z, Y, X); NaN where one is.

    Beyond its border the image is mirrored, the border itself repeated: d c b a | a b c d | d c b a.
    """
    if x.dtype.kind == "f" and x.itemsize == 2:
        wide = np.empty(out.shape, np.float32)
        median(native(x), wide, reach)
        out[...] = wide
        return
    values = native(x)
    nx, (depth, high, width) = x.shape[3], (2 * r + 1 for r in reach)
    near = tuple(mirrored_with_ends(np.arange(-r, n + r), n) for n, r in zip(x.shape[1:], reach, strict=True))
    rows = out.view(values.dtype).reshape(-1, nx)
    if depth * high * width <= _MOST:
        given = tuple(source(values))
        program, lanes = median_program(depth * high, width), BLOCK // values.itemsize
        blocks = min(-(-nx // lanes), max(_SHORTEST, _ROOM // BLOCK // program.wires))
        how = near, (depth, high), program.steps, program.wires, program.result, lanes, blocks
        run_slabs(lambda start, stop: _rows(given, *how, rows, start, stop), len(rows))
    else:
        run_slabs(lambda start, stop: _counted_rows(values, near, rows, start, stop), len(rows))
    if x.dtype.kind == "f":
        _spread_nan(values, out, reach)


def _spread_nan(x: npt.NDArray[Any], out: npt.NDArray[Any], reach: tuple[int, ...]) -> None:
    """NaN to all that are near: what comparisons made of it is nothing."""
    if not np.isnan(x.min()):
        return
    odd = np.isnan(x)
    for axis, r in enumerate(reach, 1):
        wide = odd.copy()
        line, grown = np.moveaxis(odd, axis, 0), np.moveaxis(wide, axis, 0)
        # Mirrored voxels are no nearer than those they mirror.
        for s in range(1, min(r, len(line) - 1) + 1):
            grown[s:] |= line[:-s]
            grown[:-s] |= line[s:]
        odd = wide
    out[odd] = np.nan


@jit
def _rows(
    given: Any,
    near: Any,
    box: Any,
    steps: Any,
    wires: int,
    result: int,
    lanes: int,
    blocks: int,
    out: Any,
    start: int,
    stop: int,
) -> None:
    flat, origin, sb, sz, sy, sx = given
    iz, iy, ix = near
    depth, high = box
    nx = out.shape[1]
    beyond = ix.size - nx
    nz, ny = iz.size - depth + 1, iy.size - high + 1
    span = blocks * lanes
    # Room for what is read beyond a row, in whole blocks.
    pitch = span + (beyond // lanes + 2) * lanes
    room = np.zeros(wires * pitch, out.dtype)
    for row in range(start, stop):
        y, z, b = row % ny, row // ny % nz, row // (ny * nz)
        for x0 in range(0, nx, span):
            many = min(span, nx - x0)
            for k in range(depth * high):
                at = origin + b * sb + iz[z + k // high] * sz + iy[y + k % high] * sy
                _load(flat, at, sx, ix, x0, many + beyond, nx, room, k * pitch)
            for t in range(steps.shape[0]):
                least, most, p, q = steps[t, 0], steps[t, 1], steps[t, 2] * pitch + steps[t, 3], steps[t, 4] * pitch
                compare(
                    room, p, q + steps[t, 5], least * pitch, most * pitch, (many + steps[t, 6] + lanes - 1) // lanes
                )
            found, line = room[result * pitch : result * pitch + many], out[row, x0 : x0 + many]
            for i in range(many):
                line[i] = found[i]


@jit
def _load(flat: Any, at: int, sx: int, ix: Any, x0: int, many: int, nx: int, room: Any, to: int) -> None:
    """A row from ``x0 - r`` on."""
    r = (ix.size - nx) // 2
    first, last = max(0, r - x0), min(many, nx + r - x0)
    for i in range(first):
        room[to + i] = flat[at + ix[x0 + i] * sx]
    for i in range(last, many):
        room[to + i] = flat[at + ix[x0 + i] * sx]
    begin = at + (x0 + first - r) * sx
    line = room[to + first : to + last]
    if sx == 1:
        direct = flat[begin : begin + line.size]
        for i in range(line.size):
            line[i] = direct[i]
    else:
        for i in range(line.size):
            line[i] = flat[begin + i * sx]


def _counted_rows(
    x: npt.NDArray[Any],
    near: tuple[npt.NDArray[np.int64], ...],
    out: npt.NDArray[Any],
    start: int,
    stop: int,
) -> None:
    """Rows of medians, from counts of values or of their places in the order of all that the windows hold."""
    _, nz, ny, nx = x.shape
    iz, iy, ix = near
    depth, high, width = (len(index) - n + 1 for index, n in zip(near, (nz, ny, nx), strict=True))
    middle, found = depth * high * width // 2, np.empty(nx, np.int64)
    counted = x.dtype.kind in "iu" and x.itemsize <= 2
    for row in range(start, stop):
        y, z, b = row % ny, row // ny % nz, row // (ny * nz)
        strip = x[b][np.ix_(iz[z : z + depth], iy[y : y + high], ix)].reshape(-1, len(ix)).T
        if counted:
            lowest = int(strip.min())
            places = np.subtract(strip, lowest, dtype=np.int32)
            _slide(np.ascontiguousarray(places), int(places.max()) + 1, width, middle, found)
            out[row] = found + lowest
        else:
            order = np.argsort(strip, axis=None)
            places = np.empty(strip.size, np.int32)
            places[order] = np.arange(strip.size, dtype=np.int32)
            _slide(places.reshape(strip.shape), strip.size, width, middle, found)
            out[row] = strip.reshape(-1)[order[found]]


@jit
def _slide(places: Any, levels: int, width: int, middle: int, out: Any) -> None:
    """Number ``middle`` of each ``width`` columns of ``places`` (columns, voxels), below ``levels``."""
    fine, coarse = np.zeros(levels, np.int32), np.zeros(levels // _COARSE + 1, np.int32)
    # Of the window at work: the coarse place that holds the median, and how many lie below.
    cell, below = 0, 0
    for i in range(len(places)):
        _count(places[i], np.int32(1), fine, coarse)
        below += _below(places[i], cell)
        if i < width - 1:
            continue
        while below > middle:
            cell -= 1
            below -= coarse[cell]
        while below + coarse[cell] <= middle:
            below += coarse[cell]
            cell += 1
        place = cell * _COARSE
        found = below + fine[place]
        while found <= middle:
            place += 1
            found += fine[place]
        out[i - width + 1] = place
        _count(places[i - width + 1], np.int32(-1), fine, coarse)
        below -= _below(places[i - width + 1], cell)


@jit
def _count(places: Any, one: Any, fine: Any, coarse: Any) -> None:
    for k in range(places.size):
        fine[places[k]] += one
        coarse[places[k] // _COARSE] += one


@jit
def _below(places: Any, cell: int) -> int:
    """How many lie below a coarse place."""
    many = 0
    for k in range(places.size):
        many += places[k] < cell * _COARSE
    return many
