"""Every voxel through the tables of the tiles around it: one launch over the cells between the centres of tiles."""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from fastprep.core.device_view import DeviceView
from fastprep.core.tiles import places, takes_part
from fastprep.kernels.gpu._launch import Launch, launch_alone
from fastprep.kernels.gpu._launch import tables as to_device
from fastprep.kernels.gpu._tiles import BINS, HALF, MOST_SHARED, ROWS, VALUES, bins_of, bytes_of, values_of
from fastprep.kernels.gpu._types import NUMBERS, job, read_type

THREADS = 256
_NAMES = {
    (values, n, shared): f"tile_blend<{values}, {n}, {str(shared).lower()}>"
    for values in VALUES
    for n in (4, 8)
    for shared in (False, True)
}
INSTANCES = tuple(_NAMES.values())
_JOB = job(f"PPPPP3P12q{BINS}0q3f23i")
#: Columns of a block at least.
_COLUMNS = 1 << 11


def tile_blend(
    x: DeviceView,
    mask: DeviceView | None,
    tables: DeviceView,
    counts: DeviceView,
    tiles: tuple[int, ...],
    size: tuple[int, ...],
    origin: tuple[int, ...],
    bins: int,
    low: float,
    high: float,
    out: DeviceView,
) -> None:
    """``out = low + `` the blend of what the nearest tables of `tile_tables` make of ``x`` (B, Z, Y, X).

    ``origin`` is the place of the first voxel in the image that the tables are of. Between two entries of a table a
    value lies on the line; where every whole number has a bin of its own, it is an entry. Blended in float32, along x
    first and z last; an axis of one voxel takes no part. Tables of tiles without a voxel are left out, and the other
    weights divided by their sum. What is outside the mask or not finite stays as it is, and so does what has no table.
    """
    if x.size == 0:
        return
    space, plays = x.shape[1:], [takes_part(t, s) for t, s in zip(tiles, size, strict=True)]
    around = 8 if plays[0] else 4
    words = bins * around
    # A cell's tables are worth their way where it has about as many voxels as they have entries.
    shared = words <= MOST_SHARED and 2 * math.prod(size) >= words
    starts = [np.array([0, n], np.int32) for n in space]
    if shared:
        starts = [_cells(n, o, s, t) for n, o, s, t in zip(space, origin, size, tiles, strict=True)]
    columns = max(_COLUMNS, words // 2 if shared else 0)
    largest = [int(np.diff(s).max()) for s in starts]
    parts = -(-largest[0] * -(-largest[1] // ROWS) * largest[2] // columns)
    cells = [len(s) - 1 for s in starts]
    table = to_device(x, *(s.tobytes() for s in starts))
    steps = (0,) * 4 if mask is None else mask.strides
    names = read_type(x.dtype), read_type(out.dtype)
    packed = _JOB.pack(
        *(x.address, out.address, 0 if mask is None else mask.address, tables.address, counts.address),
        *(*table.addresses, *bytes_of(x), *bytes_of(out), *steps, *bins_of(x, bins, low, high)),
        *(float(np.float32(1) / np.float32(s)) for s in size),
        *(*space, *tiles, *origin, *cells, *plays, parts, columns),
        *(NUMBERS.index(names[1]), out.dtype.itemsize if names[0] == names[1] else 0, *_narrow(x, out, low, high), 0),
    )
    blocks, memory = len(x) * math.prod(cells) * parts, 4 * words if shared else 0
    name = _NAMES[values_of(x), around, shared]
    run = Launch("tile_blend", name, packed, blocks, THREADS, memory, x, out, (table,))
    launch_alone(run, [v for v in (x, mask, tables, counts) if v is not None], [out])


def _narrow(x: DeviceView, out: DeviceView, low: float, high: float) -> tuple[int, int, int]:
    """Bytes of a whole number of ``out``, the least and the largest, where int32 is wide enough and ``low`` is even."""
    small = out.dtype.kind in "iu" and out.dtype.itemsize <= 2 and x.dtype.kind in "iu"
    if not small or low % 2 or not -HALF <= low < high < HALF:
        return (0, 0, 0)
    limits = np.iinfo(read_type(out.dtype))
    return (out.dtype.itemsize, int(limits.min), int(limits.max))


@lru_cache(256)
def _cells(n: int, origin: int, size: int, tiles: int) -> npt.NDArray[np.int32]:
    """Where along an axis of ``n`` voxels other tiles are the nearest, and the end."""
    where = places(n, origin, size, tiles)
    changes = np.flatnonzero(np.diff(where.first) | np.diff(where.second)) + 1
    return np.array([0, *changes, n], np.int32)
