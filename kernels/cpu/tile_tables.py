"""Tables of CLAHE: the grey levels of every tile spread out by its own histogram, each voxel read once."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from fastprep.core.border import mirrored
from fastprep.core.threads import num_threads, run_slabs
from fastprep.kernels.cpu._bins import bin_line, line_of, readable, rule_of
from fastprep.kernels.cpu._chunks import as_bytes
from fastprep.kernels.cpu._numba import jit, source

#: Entries of the histograms that are counted at a time, which stay in the second-level cache.
_ENTRIES = 1 << 15
#: Pieces of work for a thread at the least, so that all are done at one time.
_PIECES = 4


class _Tiles(NamedTuple):
    """Where the tiles are: their numbers and sizes, and the voxels that lie at each place beyond the image's end."""

    count: Any
    size: Any
    z: Any
    y: Any
    x: Any
    #: Voxels of the image along x, and how many tiles along x are counted at a time.
    nx: int
    many: int


def tile_tables(
    x: npt.NDArray[Any],
    mask: npt.NDArray[Any] | None,
    tiles: tuple[int, ...],
    size: tuple[int, ...],
    bins: int,
    low: float,
    high: float,
    clip_limit: float,
    whole: bool,
    tables: npt.NDArray[np.float32],
    counts: npt.NDArray[np.int32],
) -> None:
    """``tables`` (B, T, bins) of the T tiles, in C order, of each ``x`` (B, Z, Y, X): grey levels above ``low``.

    ``tiles`` of ``size`` voxels along each axis; beyond the image it is mirrored, and its mask with it. ``counts``
    (B, T) are the finite voxels of a tile where ``mask`` is not zero; of none the table is zeros. Where ``clip_limit``
    is not 0 no bin holds more than so many times the mean, and what is beyond is shared out among all. ``whole`` rounds
    half to even.
    """
    rule = rule_of(x.dtype, bins, low, high)
    values = tuple(source(readable(x)))
    marks = tuple(source(np.zeros((1, 1, 1, 1), np.uint8) if mask is None else as_bytes(mask)))
    z, y, across = (mirrored(np.arange(t * s), n) for t, s, n in zip(tiles, size, x.shape[1:], strict=True))
    many = min(max(_ENTRIES // bins, 1), tiles[2])
    where = _Tiles(tiles, size, z, y, across, x.shape[3], many)
    groups = len(x) * tiles[0] * tiles[1] * -(-tiles[2] // many)
    parts = min(-(-_PIECES * num_threads() // groups), size[0] * size[1])
    found = np.empty((counts.size, parts, bins), np.int32)
    run_slabs(
        lambda start, stop: _count(values, marks, mask is not None, where, rule, start, stop, found), groups * parts
    )
    how = np.float32(high - low), float(clip_limit), whole
    flat, counted = tables.reshape(-1, bins), counts.reshape(-1)
    run_slabs(lambda start, stop: _finish(found, start, stop, *how, flat, counted), counts.size)


@jit
def _count(values: Any, marks: Any, masked: bool, where: Any, rule: Any, start: int, stop: int, found: Any) -> None:
    """Parts of groups of tiles that lie side by side along x."""
    many, size, entries = where.many, where.size, rule.bins + 1
    # So many histograms of each tile that a run of one value does not wait for itself, if they fit into the cache.
    ways = 4 if many * entries <= _ENTRIES // 2 else 2
    index, several = np.empty(many * size[2], np.uint32), np.empty((ways, many * entries), np.int32)
    room = np.empty(many * size[2], values[0].dtype)
    tx, parts, rows = where.count[2], found.shape[1], size[0] * size[1]
    across = -(-tx // many)
    for item in range(start, stop):
        group, part = item // parts, item % parts
        line, first = group // across, group % across * many
        here = min(many, tx - first)
        several[:] = np.int32(0)
        for row in range(rows * part // parts, rows * (part + 1) // parts):
            _bins_of_row(values, marks, masked, where, rule, line, row, first, here, index, room)
            _count_row(index, here, size[2], entries, several)
        for t in range(here):
            total, base = found[line * tx + first + t, part], t * entries
            total[:] = several[0, base : base + rule.bins]
            for way in range(1, ways):
                _add(several[way, base : base + rule.bins], total)


@jit
def _bins_of_row(
    values: Any,
    marks: Any,
    masked: bool,
    where: Any,
    rule: Any,
    line: int,
    row: int,
    first: int,
    here: int,
    index: Any,
    room: Any,
) -> None:
    """The bins of one row of ``here`` tiles from the ``first``; one more than there are for what does not count."""
    flat, start, sb, sz, sy, sx = values
    mask, origin, mb, mz, my, mx = marks
    tz, ty = where.count[0], where.count[1]
    b, z0, y0 = line // (tz * ty), line // ty % tz * where.size[0], line % ty * where.size[1]
    z, y = where.z[z0 + row // where.size[1]], where.y[y0 + row % where.size[1]]
    base, at = start + b * sb + z * sz + y * sy, origin + b * mb + z * mz + y * my
    x0, wide = first * where.size[2], here * where.size[2]
    inner = min(max(where.nx - x0, 0), wide)
    bin_line(line_of(flat, base + x0 * sx, sx, inner, room), rule, index[:inner])
    if inner < wide:
        for i in range(inner, wide):
            room[i] = flat[base + where.x[x0 + i] * sx]
        bin_line(room[inner:wide], rule, index[inner:wide])
    if masked:
        none = np.uint32(rule.bins)
        for i in range(inner):
            index[i] = index[i] if mask[at + (x0 + i) * mx] != 0 else none
        for i in range(inner, wide):
            index[i] = index[i] if mask[at + where.x[x0 + i] * mx] != 0 else none


@jit
def _count_row(index: Any, here: int, size: int, entries: int, several: Any) -> None:
    a, b, c, d = several[0], several[1], several[-2], several[-1]
    one = np.int32(1)
    for t in range(here):
        base = np.uint32(t * entries)
        first, last = t * size, (t + 1) * size
        for i in range(first, last - 3, 4):
            a[np.uint32(base + index[i])] += one
            b[np.uint32(base + index[i + 1])] += one
            c[np.uint32(base + index[i + 2])] += one
            d[np.uint32(base + index[i + 3])] += one
        for i in range(last - size % 4, last):
            a[np.uint32(base + index[i])] += one


@jit
def _add(more: Any, total: Any) -> None:
    for i in range(total.size):
        total[i] += more[i]


@jit
def _finish(
    found: Any, start: int, stop: int, span: Any, clip_limit: float, whole: bool, tables: Any, counts: Any
) -> None:
    for tile in range(start, stop):
        total = found[tile, 0]
        for part in range(1, found.shape[1]):
            _add(found[tile, part], total)
        counts[tile] = _table(total, span, clip_limit, whole, tables[tile])


@jit
def _table(histogram: Any, span: Any, clip_limit: float, whole: bool, table: Any) -> int:
    """The table of a histogram, which is changed; how many it counts."""
    bins = histogram.size
    count = 0
    for i in range(bins):
        count += histogram[i]
    if count == 0:
        table[:] = np.float32(0)
        return 0
    if clip_limit > 0:
        _clip(histogram, np.int32(max(int(min(clip_limit * count / bins, float(count))), 1)))
    factor = np.float32(span / np.float32(count))
    cumulated = np.int32(0)
    for i in range(bins):
        cumulated = np.int32(cumulated + histogram[i])
        table[i] = np.float32(cumulated) * factor
    if whole:
        for i in range(bins):
            table[i] = np.rint(table[i])
    return count


@jit
def _clip(histogram: Any, limit: Any) -> None:
    """No more than ``limit`` in a bin, and what was above it shared out."""
    bins = histogram.size
    excess = 0
    for i in range(bins):
        excess += max(histogram[i] - limit, np.int32(0))
    share, rest = excess // bins, excess % bins
    for i in range(bins):
        histogram[i] = min(histogram[i], limit) + np.int32(share)
    if rest > 0:
        step = max(bins // rest, 1)
        for k in range(rest):
            histogram[k * step] += np.int32(1)
