"""Every voxel through the tables of the tiles around it, blended: each voxel read once, written once.

Work goes from block to block between the centres of neighbouring tiles, in each of which the same tables are blended:
their entries for one bin are put side by side, so that a voxel finds all of them in one place.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from fastprep.core.threads import run_slabs
from fastprep.core.tiles import Places, places, takes_part
from fastprep.kernels.cpu._bins import bin_line, fill_line, line_of, mark_odd, readable, rule_of
from fastprep.kernels.cpu._chunks import as_bytes
from fastprep.kernels.cpu._half import narrow
from fastprep.kernels.cpu._mix import VOXELS, mix_eight, mix_eight_between, mix_four, mix_four_between
from fastprep.kernels.cpu._numba import jit, put, source

#: Entries of tables put side by side at a time, which stay in the second-level cache.
_ENTRIES = 1 << 18


class _Axes(NamedTuple):
    """Of z, y, x: tiles and weights of each voxel, and where the pair of tiles changes."""

    z: Any
    y: Any
    x: Any
    cuts: Any
    #: Tiles along y and x, and whether tables are blended along each axis.
    ty: int
    tx: int
    parts: Any
    low: float


def tile_blend(
    x: npt.NDArray[Any],
    mask: npt.NDArray[Any] | None,
    tables: npt.NDArray[np.float32],
    counts: npt.NDArray[np.int32],
    tiles: tuple[int, ...],
    size: tuple[int, ...],
    origin: tuple[int, ...],
    bins: int,
    low: float,
    high: float,
    out: npt.NDArray[Any],
) -> None:
    """``out = low + `` the blend of what the nearest tables of `tile_tables` make of ``x`` (B, Z, Y, X).

    ``origin`` is the place of the first voxel in the image that the tables are of. Between two entries of a table a
    value lies on the line; where every whole number has a bin of its own, it is an entry. Blended in float32, along x
    first and z last; an axis of one voxel takes no part. Tables of tiles without a voxel are left out, and the other
    weights divided by their sum. What is outside the mask or not finite stays as it is, and so does what has no table.
    """
    if out.dtype == np.float16:
        # Rounded once: with low, float32 would be a rounding more.
        wide = np.empty(out.shape, np.float64)
        tile_blend(x, mask, tables, counts, tiles, size, origin, bins, low, high, wide)
        narrow(wide[None], out[None])
        return
    rule = rule_of(x.dtype, bins, low, high)
    along = [places(n, o, s, t) for n, o, s, t in zip(x.shape[1:], origin, size, tiles, strict=True)]
    cuts = tuple(_cuts(p) for p in along)
    parts = tuple(takes_part(t, s) for t, s in zip(tiles, size, strict=True))
    # Voxels are blended together, which may be more than there are.
    more = [(*p[:2], *(np.append(w, np.zeros(VOXELS, np.float32)) for w in p[2:])) for p in along]
    axes = _Axes(more[0], more[1], more[2], cuts, tiles[1], tiles[2], parts, float(low))
    values = tuple(source(readable(x)))
    marks = tuple(source(np.zeros((1, 1, 1, 1), np.uint8) if mask is None else as_bytes(mask)))
    run_slabs(
        lambda start, stop: _rows(values, marks, mask is not None, axes, rule, tables, counts, start, stop, out),
        len(x) * x.shape[1] * x.shape[2],
    )
    if mask is not None and x.dtype == out.dtype and x.dtype.kind in "iu" and x.itemsize == 8:
        # Beyond what loops of floats tell apart.
        np.copyto(out, x, where=mask == 0)


def _cuts(along: Places) -> npt.NDArray[np.int64]:
    """Where the pair of tiles changes along an axis, with both ends."""
    changes = np.flatnonzero((np.diff(along.first) != 0) | (np.diff(along.second) != 0)) + 1
    return np.concatenate([[0], changes, [len(along.first)]])


@jit
def _rows(
    values: Any,
    marks: Any,
    masked: bool,
    axes: Any,
    rule: Any,
    tables: Any,
    counts: Any,
    start: int,
    stop: int,
    out: Any,
) -> None:
    """Rows ``start`` to ``stop``, counted through volumes, then blocks of z and y, then the rows of each."""
    rows = axes.z[0].size * axes.y[0].size
    cuts_z, cuts_y, cuts_x = axes.cuts
    entries = (rule.bins + 1) * (8 if axes.parts[0] else 4)
    many = min(max(_ENTRIES // entries, 1), cuts_x.size - 1)
    wide = 0
    for c in range(0, cuts_x.size - 1, many):
        wide = max(wide, cuts_x[min(c + many, cuts_x.size - 1)] - cuts_x[c])
    packed, there = np.empty(many * entries, np.float32), np.empty(many, np.bool_)
    room = np.empty(wide, values[0].dtype)
    more = wide + VOXELS
    buffers = np.zeros(more, np.uint32), np.empty(more, np.float32), np.empty(more, np.float32)
    kept = np.empty(wide, np.uint8)
    for b in range(start // rows, -(-stop // rows)):
        last = b * rows
        for k in range(cuts_z.size - 1):
            for m in range(cuts_y.size - 1):
                z, y, high = cuts_z[k], cuts_y[m], cuts_y[m + 1] - cuts_y[m]
                first = last
                last = first + (cuts_z[k + 1] - z) * high
                if last <= start or first >= stop:
                    continue
                box = (z, y, high, max(start - first, 0), min(stop, last) - first)
                for c in range(0, cuts_x.size - 1, many):
                    cuts = cuts_x[c : c + many + 1]
                    tiles = _pack(tables[b], counts[b], axes, rule.exact, z, y, cuts, packed, there)
                    how = values, marks, masked, axes, rule, tables[b], counts[b], b
                    _block(*how, box, cuts, tiles, packed, there, room, *buffers, kept, out)


@jit
def _pack(tables: Any, counts: Any, axes: Any, exact: bool, z: int, y: int, cuts: Any, packed: Any, there: Any) -> Any:
    """The tables around each run of a row side by side, where all have voxels; the tiles before each in x."""
    deep = axes.parts[0]
    lanes = 8 if deep else 4
    entries = packed.size // there.size
    lead = 0 if exact else 1
    corners = (
        (axes.z[0][z] * axes.ty + axes.y[0][y]) * axes.tx,
        (axes.z[0][z] * axes.ty + axes.y[1][y]) * axes.tx,
        (axes.z[1][z] * axes.ty + axes.y[0][y]) * axes.tx,
        (axes.z[1][z] * axes.ty + axes.y[1][y]) * axes.tx,
    )
    for run in range(cuts.size - 1):
        a, c = axes.x[0][cuts[run]], axes.x[1][cuts[run]]
        there[run] = True
        for corner in corners:
            there[run] &= counts[corner + a] > 0 and counts[corner + c] > 0
        if not there[run]:
            continue
        for lane in range(lanes):
            right, side = lane // (lanes // 2), lane % (lanes // 2)
            # Along x first, then y, then z: so that one vector's halves are what is blended.
            corner = corners[side // 2 + side % 2 * 2] if deep else corners[side]
            table = tables[corner + (c if right else a)]
            base = run * entries + lane
            packed[base] = np.float32(0)
            for k in range(table.size):
                packed[base + (k + lead) * lanes] = table[k]
    return corners


@jit
def _block(
    values: Any,
    marks: Any,
    masked: bool,
    axes: Any,
    rule: Any,
    tables: Any,
    counts: Any,
    b: int,
    box: Any,
    cuts: Any,
    corners: Any,
    packed: Any,
    there: Any,
    room: Any,
    index: Any,
    filled: Any,
    line: Any,
    kept: Any,
    out: Any,
) -> None:
    """Rows between the same tiles in z and y, over the runs of x that are packed."""
    flat, start, sb, sz, sy, sx = values
    z0, y0, high, first, last = box
    i, j = cuts[0], cuts[-1]
    n = j - i
    near, far = axes.x[2][i:], axes.x[3][i:]
    step = packed.size // there.size // (8 if axes.parts[0] else 4)
    whole = np.all(there[: cuts.size - 1])
    for row in range(first, last):
        z, y = z0 + row // high, y0 + row % high
        read = line_of(flat, start + b * sb + z * sz + y * sy + i * sx, sx, n, room)
        if rule.exact:
            bin_line(read, rule, index[:n])
        else:
            fill_line(read, rule, index[:n], filled[:n])
        weights = (axes.y[2][y], axes.y[3][y], axes.z[2][z], axes.z[3][z])
        keeps = _kept(read, marks, masked, b, z, y, i, kept[:n])
        _mix(packed, step, axes.parts[0], rule.exact, index, filled, near, far, *weights, cuts, there, line)
        if not whole:
            how = tables, counts, corners, axes.x[0][i:j], axes.x[1][i:j], there, axes.parts, rule.exact
            keeps |= _shared(*how, index, filled, weights, near, far, cuts, line, kept)
        _store(read, line[:n], axes.low, keeps, kept, out[b, z, y, i:j])


@jit
def _mix(
    packed: Any,
    step: int,
    deep: bool,
    exact: bool,
    index: Any,
    filled: Any,
    near: Any,
    far: Any,
    near_y: Any,
    far_y: Any,
    near_z: Any,
    far_z: Any,
    cuts: Any,
    there: Any,
    line: Any,
) -> None:
    """The runs of a row whose tables are all there; up to three voxels after a run are written, too."""
    yz = near_y, far_y, near_z, far_z
    for run in range(cuts.size - 1):
        if not there[run]:
            continue
        base = np.uint32(run * step)
        for i in range(cuts[run] - cuts[0], cuts[run + 1] - cuts[0], VOXELS):
            if deep and exact:
                mix_eight(packed, base, index, filled, near, far, i, *yz, line)
            elif deep:
                mix_eight_between(packed, base, index, filled, near, far, i, *yz, line)
            elif exact:
                mix_four(packed, base, index, filled, near, far, i, *yz, line)
            else:
                mix_four_between(packed, base, index, filled, near, far, i, *yz, line)


@jit
def _shared(
    tables: Any,
    counts: Any,
    corners: Any,
    one: Any,
    two: Any,
    there: Any,
    parts: Any,
    exact: bool,
    index: Any,
    filled: Any,
    weights: Any,
    near: Any,
    far: Any,
    cuts: Any,
    line: Any,
    kept: Any,
) -> bool:
    """The other runs: the mean by weight of the tables that are there, in their order. Whether none is somewhere."""
    near_y, far_y, near_z, far_z = weights
    none = np.float32(0)
    nothing = False
    for run in range(cuts.size - 1):
        if there[run]:
            continue
        for i in range(cuts[run] - cuts[0], cuts[run + 1] - cuts[0]):
            total, weight = none, none
            for lane in range(8 if parts[0] else 4):
                lower, right = lane // 2 % 2, lane % 2
                if (lower and not parts[1]) or (right and not parts[2]):
                    continue
                tile = corners[lane // 2] + (two[i] if right else one[i])
                if counts[tile] == 0:
                    continue
                w = np.float32(1)
                if parts[0]:
                    w = far_z if lane >= 4 else near_z
                if parts[1]:
                    w *= far_y if lower else near_y
                if parts[2]:
                    w *= far[i] if right else near[i]
                k = index[i]
                value = tables[tile, k]
                if not exact:
                    base = tables[tile, k - np.uint32(1)] if k > 0 else none
                    value = base + (value - base) * filled[i]
                total += w * value
                weight += w
            line[i] = total / weight if weight > none else none
            if weight == none:
                kept[i] = np.uint8(1)
                nothing = True
    return nothing


@jit
def _kept(line: Any, marks: Any, masked: bool, b: int, z: int, y: int, first: int, kept: Any) -> bool:
    """Marks what is outside the mask or not finite; whether anything is."""
    kept[:] = np.uint8(0)
    if masked:
        mask, origin, mb, mz, my, mx = marks
        at = origin + b * mb + z * mz + y * my + first * mx
        for i in range(kept.size):
            kept[i] = np.uint8(mask[at + i * mx] == 0)
    return mark_odd(line, kept) or masked


@jit
def _store(read: Any, line: Any, low: float, keeps: bool, kept: Any, out: Any) -> None:
    if low == 0.0:
        for i in range(line.size):
            put(out, i, line[i])
    else:
        for i in range(line.size):
            put(out, i, np.float64(line[i]) + low)
    if keeps:
        for i in range(line.size):
            if kept[i]:
                put(out, i, read[i])
