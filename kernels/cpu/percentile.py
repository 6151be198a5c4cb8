"""The values either side of each quantile among the voxels inside a mask, exactly.

Of a few quantiles a small sample brackets each, and one read counts what is below and at the ends of the brackets and
keeps what is within; where a bracket turns out to miss its quantile, another read takes the values between its
neighbours. Of many, and of narrow types, how often each bit pattern occurs tells; types of 32 bits and more have too
many patterns, and are read twice: how many values lie in each of equal buckets, then those of buckets that hold one.
"""

from __future__ import annotations

from functools import cache
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from numba.extending import overload

from fastprep.core.order_statistics import OrderStatistics, of_counts, ranks
from fastprep.core.threads import run_slabs
from fastprep.kernels.cpu._chunks import CHUNK, Voxels, buffers, chunk, voxels
from fastprep.kernels.cpu._numba import jit, load_eight
from fastprep.kernels.cpu.counts import MOST_CHUNKS, count_patterns

#: Voxels looked at to place the brackets, and standard errors from a quantile to the ends of its own.
_SAMPLE = 1 << 14
_ERRORS = 4
#: Values worked on at a time, in the first-level cache; those of a block are looked through where one is wanted.
_PART = 1 << 11
_BLOCK = 64
#: Quantiles that are many, and the buckets they are looked for in.
_MANY = 5
_BUCKETS = 1 << 12
#: Marks read at a time, and eight that are all 1.
_MARKS = 8
_ALL = np.uint64(0x0101010101010101)


def percentile(x: npt.NDArray[Any], mask: npt.NDArray[Any] | None, q: npt.NDArray[np.float64]) -> list[OrderStatistics]:
    """Of each volume of ``x`` (B, Z, Y, X) where ``mask`` of that shape is not zero, for ``q`` (Q,) in [0, 1].

    NaN has no place in the order and is counted apart.
    """
    x = x.astype(x.dtype.newbyteorder("="), copy=False)
    if x.itemsize == 1 or (x.dtype.kind == "f" and x.itemsize == 2) or (x.itemsize == 2 and q.size >= _MANY):
        return _of_patterns(x, mask, q)
    v = voxels(x, mask)
    return [(_select_many if q.size >= _MANY else _select)(v, b, q) for b in range(len(x))]


def _of_patterns(
    x: npt.NDArray[Any], mask: npt.NDArray[Any] | None, q: npt.NDArray[np.float64]
) -> list[OrderStatistics]:
    counted = count_patterns(x, mask)
    values, order, nan = _patterns(np.dtype("u1") if x.dtype.kind == "b" else x.dtype)
    return [of_counts(c[order], values, int(c[nan].sum()), q) for c in counted]


@cache
def _patterns(dtype: np.dtype[Any]) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """All values of a type in order, the bit pattern of each, and the patterns of NaN."""
    patterns = np.arange(1 << 8 * dtype.itemsize).astype(f"u{dtype.itemsize}")
    with np.errstate(invalid="ignore"):
        # Zeros of either sign are one value.
        values = patterns.view(dtype) + np.float64(0)
    order, numbers = np.argsort(values), np.count_nonzero(~np.isnan(values))
    return values[order[:numbers]], order[:numbers], order[numbers:]


class _Counted(NamedTuple):
    """What one read finds of pivots in order: values below each and equal to it, those inside, and some kept."""

    below: npt.NDArray[np.int64]
    equal: npt.NDArray[np.int64]
    inside: int
    #: The values between a pivot and the next, in order, of those that were wanted.
    between: dict[int, npt.NDArray[Any]]

    def pick(self, pivots: npt.NDArray[Any], rank: int) -> float | int:
        """The value of that rank, or the pivot below it as an int where nothing between it and the next was kept."""
        i = int(np.searchsorted(self.below, rank, "right")) - 1
        within = rank - int(self.below[i] + self.equal[i])
        if within < 0:
            return float(pivots[i]) + 0.0
        return float(self.between[i][within]) + 0.0 if i in self.between else i


def _select(v: Voxels, b: int, q: npt.NDArray[np.float64]) -> OrderStatistics:
    pivots, wanted, share = _brackets(q, _sample(v, b, _SAMPLE))
    found = _read(v, b, pivots, wanted, share)
    n = int(found.below[-1] + found.equal[-1])
    nan = found.inside - n
    if n == 0:
        return OrderStatistics(0, nan, np.full(q.shape, np.nan), np.full(q.shape, np.nan))
    places = np.concatenate(ranks(n, q))
    values = [found.pick(pivots, int(r)) for r in places]
    missed = np.array([isinstance(value, int) for value in values])
    if missed.any():
        wanted = np.zeros(pivots.size - 1, np.bool_)
        wanted[[value for value in values if isinstance(value, int)]] = True
        kept = np.diff(found.below) - found.equal[:-1]
        found = _read(v, b, pivots, wanted, float(kept[wanted].max()) / v.size)
        again = zip(places, missed, values, strict=True)
        values = [found.pick(pivots, int(rank)) if miss else value for rank, miss, value in again]
    lower, upper = np.array(values, np.float64).reshape(2, -1)
    ends = found.equal[0] + found.equal[-1]
    return OrderStatistics(n, nan, lower, upper, bool(ends) and pivots.dtype.kind == "f")


def _select_many(v: Voxels, b: int, q: npt.NDArray[np.float64]) -> OrderStatistics:
    sample = _sample(v, b, _BUCKETS)
    some = sample[np.isfinite(sample)]
    low, span = (some[0], some[-1] - some[0]) if some.size else (some.dtype.type(0), some.dtype.type(0))
    with np.errstate(over="ignore", divide="ignore"):
        scale = some.dtype.type(_BUCKETS) / span
    if not 0 < scale < np.inf:
        return _select(v, b, q)
    top = some.dtype.type(_BUCKETS - 1)
    tallies: list[Any] = []

    def tally(start: int, stop: int) -> None:
        part = np.empty(_PART, some.dtype)
        for first in range(b * v.chunks + start, b * v.chunks + stop, MOST_CHUNKS):
            counts, odd = np.zeros((2, _BUCKETS), np.uint32), np.zeros(2, np.int64)
            last = min(first + MOST_CHUNKS, b * v.chunks + stop)
            _tally(v, first, last, low, scale, top, part, counts[0], counts[1], odd)
            tallies.append((counts.sum(axis=0, dtype=np.int64), odd))

    run_slabs(tally, v.chunks)
    counts, (nan, infinite) = (np.sum(parts, axis=0) for parts in zip(*tallies, strict=True))
    ends = np.cumsum(counts)
    n = int(ends[-1])
    if n == 0:
        return OrderStatistics(0, int(nan), np.full(q.shape, np.nan), np.full(q.shape, np.nan))
    places = np.concatenate(ranks(n, q))
    at = np.searchsorted(ends, places, "right")
    wanted, which = np.unique(at, return_inverse=True)
    slots = np.full(_BUCKETS, -1, np.int16)
    slots[wanted] = np.arange(wanted.size)
    gathered: list[list[npt.NDArray[Any]]] = []

    def gather(start: int, stop: int) -> None:
        room = np.minimum(counts[wanted], (stop - start) * CHUNK)
        first = np.concatenate([[0], np.cumsum(room)])
        kept, filled = np.empty(first[-1], some.dtype), first[:-1].copy()
        part = np.empty(_PART, some.dtype)
        _gather(v, b * v.chunks + start, b * v.chunks + stop, low, scale, top, part, slots, kept, filled)
        gathered.append([kept[a:z] for a, z in zip(first, filled, strict=False)])

    run_slabs(gather, v.chunks)
    buckets = [np.sort(np.concatenate(parts)) for parts in zip(*gathered, strict=True)]
    within = places - (ends - counts)[at]
    values = np.array([buckets[k][i] for k, i in zip(which, within, strict=True)], np.float64) + 0.0
    lower, upper = values.reshape(2, -1)
    return OrderStatistics(n, int(nan), lower, upper, bool(infinite))


def _sample(v: Voxels, b: int, size: int) -> npt.NDArray[Any]:
    """Some of the values inside, in order."""
    own = v.x.dtype == np.float32 or v.x.itemsize == 2
    sample = np.empty(size, v.x.dtype if own else np.float64)
    return np.sort(sample[: _draw(v, b, sample)])


def _brackets(
    q: npt.NDArray[np.float64], sample: npt.NDArray[Any]
) -> tuple[npt.NDArray[Any], npt.NDArray[np.bool_], float]:
    """Pivots in order from end to end, which gaps between them hold quantiles, and about what share one holds."""
    real, s = sample.dtype, sample.size
    at = (s - 1) * q
    reach = _ERRORS * np.sqrt(s * q * (1 - q)) + 2 * _ERRORS
    ends = [real.type(-np.inf), real.type(np.inf)] if real.kind == "f" else [np.iinfo(real).min, np.iinfo(real).max]
    low, high = np.floor(at - reach).astype(np.int64), np.ceil(at + reach).astype(np.int64)
    padded = np.concatenate([ends[:1], sample, ends[1:]]).astype(real) if s else np.array(ends, real)
    first, last = padded[np.clip(low + 1, 0, s + 1)], padded[np.clip(high + 1, 0, s + 1)]
    pivots = np.unique(np.concatenate([ends, first, last]).astype(real)) + real.type(0)
    wanted = np.zeros(pivots.size - 1, np.bool_)
    for a, z in zip(np.searchsorted(pivots, first), np.searchsorted(pivots, last), strict=True):
        wanted[a:z] = True
    return pivots, wanted, min(1.0, float(2 * reach.max() + 4) / max(s, 1)) if q.size else 0.0


def _read(v: Voxels, b: int, pivots: npt.NDArray[Any], wanted: npt.NDArray[np.bool_], share: float) -> _Counted:
    found: list[Any] = []
    gaps = np.flatnonzero(wanted)

    def slab(start: int, stop: int) -> None:
        voxels_ = (stop - start) * CHUNK
        room = min(voxels_, int(1.25 * share * voxels_) + _PART)
        while True:
            below, equal = np.zeros((2, pivots.size), np.int64)
            kept, filled = np.empty((gaps.size, room), pivots.dtype), np.zeros(gaps.size, np.int64)
            inside = _slab(v, b * v.chunks + start, b * v.chunks + stop, pivots, gaps, below, equal, kept, filled)
            if filled.max(initial=0) <= room:
                break
            room = int(filled.max())
        found.append((below, equal, inside, [k[:n] for k, n in zip(kept, filled, strict=True)]))

    run_slabs(slab, v.chunks)
    below, equal, inside, kept = zip(*found, strict=True)
    between = {int(g): np.sort(np.concatenate(parts)) for g, parts in zip(gaps, zip(*kept, strict=True), strict=True)}
    return _Counted(np.sum(below, axis=0), np.sum(equal, axis=0), sum(inside), between)


@jit
def _draw(v: Any, b: int, sample: Any) -> int:
    """Values inside, one of each of as many stretches of the volume, no two stretches at the same place."""
    n = 0
    stretches = min(sample.size, v.size)
    state = np.uint64(1)
    for i in range(stretches):
        first, last = v.size * i // stretches, v.size * (i + 1) // stretches
        # Knuth's generator, whose high bits are as good as any.
        state = state * np.uint64(6364136223846793005) + np.uint64(1442695040888963407)
        at = first + np.int64(state >> np.uint64(33)) % (last - first)
        row, x = at // v.nx, at % v.nx
        z, y = row // v.ny, row % v.ny
        if v.masked and v.mask[v.origin + b * v.mb + z * v.mz + y * v.my + x * v.mx] == 0:
            continue
        value = v.x[v.start + b * v.sb + z * v.sz + y * v.sy + x * v.sx]
        if value == value:
            sample[n] = value
            n += 1
    return n


@jit
def _slab(v: Any, start: int, stop: int, pivots: Any, gaps: Any, below: Any, equal: Any, kept: Any, filled: Any) -> int:
    room = buffers(v)
    part = np.empty(_PART, pivots.dtype)
    inside = 0
    for c in range(start, stop):
        values, marks = chunk(v, c, room)
        all_inside = not v.masked and (c + 1) % v.chunks != 0
        for at in range(0, values.size, _PART):
            n = min(_PART, values.size - at)
            if all_inside:
                _look(values[at : at + n], pivots, gaps, below, equal, kept, filled)
            else:
                n = _take(values[at : at + n], marks[at : at + n], part)
                _look(part[:n], pivots, gaps, below, equal, kept, filled)
            inside += n
    return inside


@jit
def _look(part: Any, pivots: Any, gaps: Any, below: Any, equal: Any, kept: Any, filled: Any) -> None:
    """A part counted against the pivots, and its values between some of them kept."""
    for j in range(pivots.size):
        less, same = _count(part, pivots[j])
        below[j] += less
        equal[j] += same
    for g in range(gaps.size):
        filled[g] = _keep(part, pivots[gaps[g]], pivots[gaps[g] + 1], kept[g], filled[g])


@jit
def _take(values: Any, marks: Any, part: Any) -> int:
    """The values inside, in the type they are compared in; how many."""
    n = 0
    for at in range(0, values.size, _MARKS):
        word = load_eight(marks, at)
        if word == 0:
            continue
        if word == _ALL:
            for i in range(_MARKS):
                part[n + i] = values[at + i]
            n += _MARKS
            continue
        for i in range(at, at + _MARKS):
            part[n] = values[i]
            n += marks[i] != 0
    return n


def _count(part: Any, pivot: Any) -> Any:
    """How many values are below a pivot, and how many are it."""
    raise NotImplementedError


def _count_between(block: Any, low: Any, high: Any) -> Any:
    """How many values lie between two pivots."""
    raise NotImplementedError


@overload(_count)  # type: ignore[untyped-decorator]
def _count_of(part: Any, pivot: Any) -> Any:
    lane = _lane_of(part)

    def count(part: Any, pivot: Any) -> Any:
        less = same = lane(0)
        for i in range(part.size):
            less = lane(less + lane(part[i] < pivot))
            same = lane(same + lane(part[i] == pivot))
        return less, same

    return count


@overload(_count_between)  # type: ignore[untyped-decorator]
def _count_between_of(block: Any, low: Any, high: Any) -> Any:
    lane = _lane_of(block)

    def count(block: Any, low: Any, high: Any) -> Any:
        n = lane(0)
        for i in range(block.size):
            n = lane(n + (lane(block[i] > low) & lane(block[i] < high)))
        return n

    return count


def _lane_of(part: Any) -> Any:
    """What a part is counted in: no wider than its values, of which as many fit a register."""
    return np.int16 if part.dtype.bitwidth == 16 else np.int32


@jit
def _keep(part: Any, low: Any, high: Any, kept: Any, filled: int) -> int:
    """Values between two pivots, as many as there is room for; how many there are with those before."""
    for at in range(0, part.size, _BLOCK):
        block = part[at : at + _BLOCK]
        if _count_between(block, low, high) == 0:
            continue
        for i in range(block.size):
            if low < block[i] < high:
                if filled < kept.size:
                    kept[filled] = block[i]
                filled += 1
    return filled


@jit
def _find_buckets(part: Any, low: Any, scale: Any, top: Any, where: Any) -> None:
    """The bucket of each value: a larger value's is never lower, however this is rounded."""
    for i in range(part.size):
        at = (part[i] - low) * scale
        at = at if at > 0 else low - low
        where[i] = np.int32(at if at < top else top)


@jit
def _tally(v: Any, start: int, stop: int, low: Any, scale: Any, top: Any, part: Any, a: Any, b: Any, odd: Any) -> None:
    """Values inside by bucket, in two tables so that runs of one value do not wait; how many are NaN, and infinite."""
    room = buffers(v)
    where = np.empty(_PART, np.int32)
    one = np.uint32(1)
    for c in range(start, stop):
        values, marks = chunk(v, c, room)
        for at in range(0, values.size, _PART):
            n = min(_PART, values.size - at)
            n = _take(values[at : at + n], marks[at : at + n], part)
            n = _finite(part, n, a, odd)
            _find_buckets(part[:n], low, scale, top, where)
            for i in range(0, n - 1, 2):
                a[where[i]] += one
                b[where[i + 1]] += one
            if n % 2:
                a[where[n - 1]] += one


@jit
def _finite(part: Any, n: int, a: Any, odd: Any) -> int:
    """The finite values of a part in front, as a rule all; infinite ones are in the outermost buckets."""
    count = np.int32(0)
    for i in range(n):
        count = np.int32(count + np.int32(not abs(part[i]) < np.inf))
    if count == 0:
        return n
    kept = 0
    for i in range(n):
        value = part[i]
        if value != value:
            odd[0] += 1
        elif abs(value) < np.inf:
            part[kept] = value
            kept += 1
        else:
            odd[1] += 1
            a[a.size - 1 if value > 0 else 0] += 1
    return kept


@jit
def _gather(
    v: Any, start: int, stop: int, low: Any, scale: Any, top: Any, part: Any, slots: Any, kept: Any, filled: Any
) -> None:
    """The values inside that are in buckets with a slot, each to its own place."""
    room = buffers(v)
    where = np.empty(_PART, np.int32)
    for c in range(start, stop):
        values, marks = chunk(v, c, room)
        for at in range(0, values.size, _PART):
            n = min(_PART, values.size - at)
            n = _take(values[at : at + n], marks[at : at + n], part)
            _find_buckets(part[:n], low, scale, top, where)
            for i in range(n):
                slot = slots[where[i]]
                if slot >= 0 and part[i] == part[i]:
                    kept[filled[slot]] = part[i]
                    filled[slot] += 1
