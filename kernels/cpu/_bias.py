"""The passes of the bias correctors over the voxels that count, kept row by row.

A row is kept from its first to its last voxel inside; those between that do not count are NaN. Planes are summed in
groups, and voxels counted in chunks, that do not depend on the number of threads: neither do the bits.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from fastprep.core.threads import run_slabs
from fastprep.kernels.cpu import _separable as separable
from fastprep.kernels.cpu._exponential import exponential_less_one
from fastprep.kernels.cpu._numba import jit, native, source

_Array = npt.NDArray[np.float64]

#: Voxels counted at a time: their number and the sum of their fractions then fit into one integer.
_CHUNK = 1 << 16
_UNIT = 1 << 16
_COUNT = 1 << 34
_GROUPS, _SMALLEST_GROUP = 32, 6

#: How a residual lowers its own weight: not at all, Huber's way, or Tukey's.
LOSSES = {"none": 0, "huber": 1, "tukey": 2}


class Inside(NamedTuple):
    """Where a volume (Z, Y, X) counts: ``marks`` is None for everywhere, rows from ``low`` to ``high``."""

    marks: npt.NDArray[np.bool_] | None
    low: npt.NDArray[np.int64]
    high: npt.NDArray[np.int64]
    voxels: int
    broken: int


class Binned(NamedTuple):
    """A function of the intensity: its value at evenly spaced ones, as pairs with the next."""

    low: float
    slope: float
    pairs: Any


class Change(NamedTuple):
    """What a new field did: the range of what is left, and sum and sum of squares of ``exp(old - new) - 1``."""

    low: float
    high: float
    total: float
    squares: float

    def relative(self, count: int) -> float:
        """The coefficient of variation of ``exp(old - new)``."""
        if count < 2:
            return 0.0
        spread = max(self.squares - self.total**2 / count, 0.0)
        return math.sqrt(spread / (count - 1)) / (1 + self.total / count)


def find(x: npt.NDArray[Any], mask: Any, weight: Any, label: float | None) -> Inside:
    """The voxels of the mask, of weight above 0, and finite; those that are not finite are counted."""
    marks = marked(mask, weight, label)
    low, high = np.zeros(x.shape[:2], np.int64), np.zeros(x.shape[:2], np.int64)
    found = np.zeros((x.shape[0], 2), np.int64)
    flat, first, _, sz, sy, sx = source(x[None])
    seen = np.ones((1, 1, 1), np.bool_) if marks is None else marks

    def work(z0: int, z1: int) -> None:
        _extents(flat, first, sz, sy, sx, x.shape[2], seen, marks is not None, low, high, found, z0, z1)

    run_slabs(work, x.shape[0])
    return Inside(marks, low, high, *found.sum(axis=0).tolist())


def find_all(x: npt.NDArray[Any], mask: Any, weights: Any, label: float | None) -> list[tuple[Inside, Any]]:
    """`find` of each volume, and its weights; mask and weights may be of one volume for all."""
    found = []
    for b in range(x.shape[0]):
        weight = None if weights is None else weights[b % len(weights)]
        found.append((find(x[b], None if mask is None else mask[b % len(mask)], weight, label), weight))
    return found


def counts_of(found: list[tuple[Inside, Any]]) -> npt.NDArray[np.int64]:
    """(B, 2) voxels that count, and voxels of the mask that are not finite."""
    return np.array([(inside.voxels, inside.broken) for inside, _ in found])


def marked(mask: Any, weight: Any, label: float | None) -> npt.NDArray[np.bool_] | None:
    """Where the mask is the label, or not zero, and the weight above 0; None for everywhere."""
    marks = None if mask is None else (mask != 0 if label is None else mask == label)
    if weight is not None:
        marks = weight > 0 if marks is None else marks & (weight > 0)
    return marks


class Rows:
    """The logarithms of a volume where it counts, and the same without the field so far."""

    def __init__(self, x: npt.NDArray[Any], inside: Inside, weight: npt.NDArray[Any] | None) -> None:
        self.depth, self.width, self.count = x.shape[0], x.shape[2], inside.voxels
        self.low = inside.low
        self.start = np.concatenate([[0], np.cumsum(inside.high - inside.low)])
        self.weighted = weight is not None
        self.weight = np.ones((1, 1, 1), np.float32) if weight is None else np.asarray(native(weight), np.float32)
        self.logs = np.empty(self.start[-1], np.float32)
        flat, first, _, sz, sy, sx = source(x[None])
        marks = np.ones((1, 1, 1), np.bool_) if inside.marks is None else inside.marks
        masked = inside.marks is not None
        run_slabs(
            lambda a, b: _logs(flat, first, sz, sy, sx, marks, masked, self.low, self.start, self.logs, a, b),
            self.depth,
        )
        self.v = self.logs.copy()
        groups = max(1, min(_GROUPS, self.depth // _SMALLEST_GROUP))
        self.bounds = [self.depth * i // groups for i in range(groups + 1)]

    def extremes(self) -> tuple[float, float]:
        """Lowest and highest value left."""
        return float(np.fmin.reduce(self.v, initial=np.inf)), float(np.fmax.reduce(self.v, initial=-np.inf))

    def histogram(self, low: float, slope: float, bins: int) -> _Array:
        """Counts of the values left; one between two bins counts in both, by its distance."""
        chunks = -(-self.v.size // _CHUNK)
        counts, parts = np.zeros((chunks, bins + 1), np.int64), np.zeros((chunks, bins + 1), np.int64)
        run_slabs(lambda a, b: _count(self.v, np.float32(low), np.float32(slope), counts, parts, a, b), chunks)
        whole, part = counts.sum(axis=0)[:bins].astype(np.float64), parts.sum(axis=0)[:bins] / _UNIT
        # What rounding put above the last bin is dropped, as ITK drops it.
        whole -= part
        whole[1:] += part[:-1]
        return np.asarray(whole)

    def project(
        self,
        table: separable.Table,
        controls: tuple[int, ...],
        expected: Binned | None,
        *,
        loss: str = "none",
        scale: float = 1.0,
        residuals: bool = True,
    ) -> _Array:
        """Sums over the voxels of weight times residual, or of weight alone, against the axes of ``table``.

        A residual is what a value is above ``expected``; without one, voxels count by their own weight alone.
        """
        sums = np.empty((len(self.bounds) - 1, *controls))
        low, slope, pairs = expected or Binned(0.0, 1.0, np.zeros(1, np.int64))
        how = LOSSES[loss] if expected is not None else -1
        numbers = (np.float32(low), np.float32(slope), pairs, how, np.float32(scale), residuals)
        given: tuple[Any, ...] = (self.low, self.start, self.v, self.weight, self.weighted, *numbers, *table)

        def work(a: int, b: int) -> None:
            for g in range(a, b):
                _gather(*(*given, self.bounds[g], self.bounds[g + 1], sums[g]))

        run_slabs(work, len(sums))
        return np.asarray(sums.sum(axis=0))

    def subtract(self, lattice: _Array, table: separable.Table) -> Change:
        """The logarithms without another field."""
        found = np.empty((len(self.bounds) - 1, 4))

        def work(a: int, b: int) -> None:
            for g in range(a, b):
                _subtract(
                    self.low,
                    self.start,
                    self.logs,
                    self.v,
                    lattice,
                    *table,
                    self.bounds[g],
                    self.bounds[g + 1],
                    found[g],
                )

        run_slabs(work, len(found))
        return Change(
            float(found[:, 0].min()), float(found[:, 1].max()), float(found[:, 2].sum()), float(found[:, 3].sum())
        )

    def itk_change(self, before: _Array, after: _Array, table: separable.Table) -> float:
        """The change of the field as ITK finds it: voxel after voxel, in float32."""
        return float(_running_change(self.low, self.start, self.logs, before, after, *table))


def binned(low: float, slope: float, values: _Array) -> Binned:
    """A function of the intensity from its values at ``low + k * slope``."""
    ends = np.stack([values, np.append(values[1:], values[-1])], axis=1).astype(np.float32)
    return Binned(low, slope, ends.view(np.int64)[:, 0])


@jit
def _extents(
    flat: Any,
    first: int,
    sz: int,
    sy: int,
    sx: int,
    width: int,
    marks: Any,
    masked: bool,
    low: Any,
    high: Any,
    found: Any,
    z0: int,
    z1: int,
) -> None:
    for z in range(z0, z1):
        for y in range(low.shape[1]):
            base = first + z * sz + y * sy
            start, stop, n, broken = width, 0, 0, 0
            for i in range(width):
                if masked and not marks[z, y, i]:
                    continue
                if not np.isfinite(flat[base + i * sx]):
                    broken += 1
                    continue
                start = min(start, i)
                stop = i + 1
                n += 1
            low[z, y], high[z, y] = min(start, stop), stop
            found[z, 0] += n
            found[z, 1] += broken


@jit
def _logs(
    flat: Any,
    first: int,
    sz: int,
    sy: int,
    sx: int,
    marks: Any,
    masked: bool,
    low: Any,
    start: Any,
    logs: Any,
    z0: int,
    z1: int,
) -> None:
    height = low.shape[1]
    for z in range(z0, z1):
        for y in range(height):
            a, b, x0 = start[z * height + y], start[z * height + y + 1], low[z, y]
            base = first + z * sz + y * sy + x0 * sx
            out = logs[a:b]
            for i in range(out.size):
                value = np.float32(flat[base + i * sx])
                if (masked and not marks[z, y, x0 + i]) or not np.isfinite(value):
                    value = np.float32(np.nan)
                elif value > 0:
                    value = np.log(value)
                out[i] = value


@jit
def _count(v: Any, low: Any, slope: Any, counts: Any, parts: Any, c0: int, c1: int) -> None:
    bins = counts.shape[1] - 1
    top, beyond = np.float32(bins - 1), np.float32(bins)
    block = 1024
    index, part = np.empty(block, np.uint32), np.empty(block, np.int32)
    # Neighbours are often alike: in turn, into separate histograms, none waits for the last.
    turns = np.empty((4, bins + 1), np.int64)
    for c in range(c0, c1):
        turns[:] = 0
        end = min(v.size, (c + 1) * _CHUNK)
        for s in range(c * _CHUNK, end, block):
            n = min(block, end - s)
            values = v[s : s + n]
            for i in range(n):
                at = (values[i] - low) / slope
                # What is no number, or by rounding above the last bin, goes to one more bin.
                at = at if at <= top else beyond
                base = np.floor(at)
                index[i] = np.uint32(np.int32(base))
                part[i] = np.int32((at - base) * np.float32(_UNIT))
            for i in range(0, n - 3, 4):
                turns[0, index[i]] += _COUNT + part[i]
                turns[1, index[i + 1]] += _COUNT + part[i + 1]
                turns[2, index[i + 2]] += _COUNT + part[i + 2]
                turns[3, index[i + 3]] += _COUNT + part[i + 3]
            for i in range(n - n % 4, n):
                turns[0, index[i]] += _COUNT + part[i]
        for k in range(bins + 1):
            total = turns[0, k] + turns[1, k] + turns[2, k] + turns[3, k]
            counts[c, k] = total // _COUNT
            parts[c, k] = total % _COUNT


@jit
def _gather(
    row_low: Any,
    start: Any,
    v: Any,
    weight: Any,
    weighted: bool,
    low: Any,
    slope: Any,
    pairs: Any,
    loss: int,
    scale: Any,
    residuals: bool,
    z_first: Any,
    z_weight: Any,
    y_first: Any,
    y_weight: Any,
    x_weight: Any,
    x_from: Any,
    x_first: Any,
    z0: int,
    z1: int,
    out: Any,
) -> None:
    height, width = row_low.shape[1], x_weight.shape[1]
    plane = np.empty((out.shape[1], width))
    whole = np.zeros((out.shape[0], out.shape[1], width))
    row, far = np.empty(width, np.float32), np.empty(width, np.float32)
    top = np.float32(pairs.size - 1)
    bin_of, ends = np.empty(width, np.uint32), np.empty(width, np.int64)
    end = ends.view(np.float32)
    zero, one = np.float32(0), np.float32(1)
    for z in range(z0, z1):
        plane[:] = 0.0
        for y in range(height):
            s, x0 = start[z * height + y], row_low[z, y]
            n = start[z * height + y + 1] - s
            if n == 0:
                continue
            values, part = v[s : s + n], row[x0 : x0 + n]
            for i in range(n):
                part[i] = one if values[i] == values[i] else zero
            if loss >= 0:
                for i in range(n):
                    at = (values[i] - low) / slope
                    at = at if at > 0 else zero
                    at = at if at < top else top
                    base = np.floor(at)
                    bin_of[i] = np.uint32(np.int32(base))
                    far[i] = at - base
                for i in range(n):
                    ends[i] = pairs[bin_of[i]]
                for i in range(n):
                    left, right = end[2 * np.uint64(i)], end[2 * np.uint64(i) + np.uint64(1)]
                    away = values[i] - (left + (right - left) * far[i])
                    far[i] = away if away == away else zero
                if loss == 1:
                    for i in range(n):
                        size = abs(far[i])
                        part[i] *= scale / size if size > scale else one
                elif loss == 2:
                    for i in range(n):
                        relative = far[i] / scale
                        kept = one - relative * relative
                        part[i] *= kept * kept if kept > 0 else zero
                if residuals:
                    for i in range(n):
                        part[i] *= far[i]
            if weighted:
                for i in range(n):
                    w = weight[z, y, x0 + i]
                    part[i] *= w if w > 0 else zero
            separable.gather_row(row, y_first[y], y_weight[y], x0, x0 + n, plane)
        separable.gather_plane(plane, z_first[z], z_weight[z], whole)
    separable.gather_x(whole, x_weight, x_from, x_first, out)


@jit
def _subtract(
    row_low: Any,
    start: Any,
    logs: Any,
    v: Any,
    lattice: Any,
    z_first: Any,
    z_weight: Any,
    y_first: Any,
    y_weight: Any,
    x_weight: Any,
    x_from: Any,
    x_first: Any,
    z0: int,
    z1: int,
    found: Any,
) -> None:
    height, width = row_low.shape[1], x_weight.shape[1]
    plane, controls = np.empty(lattice.shape[1:]), np.empty(lattice.shape[2])
    row, rise = np.empty(width, np.float32), np.empty(width, np.float32)
    total, squares = np.zeros(width), np.zeros(width)
    least, most = np.full(width, np.float32(np.inf)), np.full(width, np.float32(-np.inf))
    for z in range(z0, z1):
        separable.plane_of(lattice, z_first[z], z_weight[z], plane)
        for y in range(height):
            s, x0 = start[z * height + y], row_low[z, y]
            n = start[z * height + y + 1] - s
            if n == 0:
                continue
            separable.row_of(plane, y_first[y], y_weight[y], controls)
            separable.expand(controls, x_weight, x_from, x_first, x0, x0 + n, row)
            old, log, field, more = v[s : s + n], logs[s : s + n], row[x0 : x0 + n], rise[:n]
            # Loops of few arrays each: of more, the compiler does not find out in time that they do not overlap.
            for i in range(n):
                new = log[i] - field[i]
                e = exponential_less_one(new - old[i])
                more[i] = e if e == e else np.float32(0)
                old[i] = new
            for i in range(n):
                e = np.float64(more[i])
                total[i] += e
                squares[i] += e * e
            for i in range(n):
                new = old[i]
                least[i] = new if new < least[i] else least[i]
                most[i] = new if new > most[i] else most[i]
    found[0], found[1] = least.min(), most.max()
    found[2], found[3] = total.sum(), squares.sum()


@jit
def _running_change(
    row_low: Any,
    start: Any,
    logs: Any,
    before: Any,
    after: Any,
    z_first: Any,
    z_weight: Any,
    y_first: Any,
    y_weight: Any,
    x_weight: Any,
    x_from: Any,
    x_first: Any,
) -> float:
    height, width = row_low.shape[1], x_weight.shape[1]
    old_plane, new_plane = np.empty(before.shape[1:]), np.empty(before.shape[1:])
    controls = np.empty(before.shape[2])
    old, new = np.empty(width, np.float32), np.empty(width, np.float32)
    mean, spread, count = np.float32(0), np.float32(0), np.float32(0)
    for z in range(row_low.shape[0]):
        separable.plane_of(before, z_first[z], z_weight[z], old_plane)
        separable.plane_of(after, z_first[z], z_weight[z], new_plane)
        for y in range(height):
            s, x0 = start[z * height + y], row_low[z, y]
            n = start[z * height + y + 1] - s
            separable.row_of(old_plane, y_first[y], y_weight[y], controls)
            separable.expand(controls, x_weight, x_from, x_first, x0, x0 + n, old)
            separable.row_of(new_plane, y_first[y], y_weight[y], controls)
            separable.expand(controls, x_weight, x_from, x_first, x0, x0 + n, new)
            for i in range(n):
                if logs[s + i] != logs[s + i]:
                    continue
                ratio = np.exp(old[x0 + i] - new[x0 + i])
                # Each step rounded to the type that ITK's own variables have.
                count = np.float32(count + np.float32(1))
                m = np.float64(count)
                if m > 1:
                    away = ratio - mean
                    spread = np.float32(np.float64(spread) + np.float64(away * away) * (m - 1) / m)
                mean = np.float32(np.float64(mean) * (1 - 1 / m) + np.float64(ratio / count))
    if count < 2:
        return 0.0
    return np.float64(np.sqrt(spread / (count - np.float32(1))) / mean)
