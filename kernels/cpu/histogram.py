"""How many voxels inside a mask have a value in each of equal bins, each voxel read once."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from fastprep.core.threads import run_slabs
from fastprep.kernels.cpu._chunks import buffers, chunk, voxels
from fastprep.kernels.cpu._numba import jit, load_eight
from fastprep.kernels.cpu.counts import MOST_CHUNKS

#: Values worked on at a time, in the first-level cache.
_PART = 1 << 11
_ROUNDING = 1e-12


def histogram(
    x: npt.NDArray[Any],
    mask: npt.NDArray[Any] | None,
    lows: npt.NDArray[np.float64],
    highs: npt.NDArray[np.float64],
    bins: int,
) -> npt.NDArray[np.uint64]:
    """``(B, bins)`` counts of ``x`` (B, Z, Y, X) where ``mask`` of that shape is not zero, as `numpy.histogram` counts.

    Bins of volume b are [a, b), the last [a, b], equal ones from ``lows[b]`` to ``highs[b]``; what is not in there is
    in none.
    """
    v = voxels(x, mask)
    out = np.zeros((len(x), bins), np.uint64)
    for b in range(len(x)):
        low, high = float(lows[b]), float(highs[b])
        edges = np.linspace(low, high, bins + 1)
        step = (high - low) / bins
        # Where bins are no wider than what rounding moves an edge by, a guess may be anywhere.
        fine = not step > _ROUNDING * max(abs(low), abs(high), np.finfo(float).tiny)
        found: list[npt.NDArray[np.uint32]] = []

        def slab(start: int, stop: int) -> None:
            for first in range(start, stop, MOST_CHUNKS):
                counts = np.zeros(bins, np.uint32)
                last = min(first + MOST_CHUNKS, stop)
                _slab(v, b * v.chunks + first, b * v.chunks + last, edges, step, fine, counts)
                found.append(counts)

        run_slabs(slab, v.chunks)
        for counts in found:
            out[b] += counts
    return out


@jit
def _slab(v: Any, start: int, stop: int, edges: Any, step: float, fine: bool, counts: Any) -> None:
    room = buffers(v)
    low, high = edges[0], edges[-1]
    inside, where = np.empty(_PART), np.empty(_PART, np.int32)
    one = np.uint32(1)
    for c in range(start, stop):
        values, marks = chunk(v, c, room)
        for at in range(0, values.size, _PART):
            n = min(_PART, values.size - at)
            n = _take(values[at : at + n], marks[at : at + n], low, high, inside)
            if fine:
                _search_bins(inside[:n], edges, where)
            else:
                _find_bins(inside[:n], low, step, np.int32(counts.size - 1), where)
            for i in range(n):
                counts[where[i]] += one


@jit
def _take(values: Any, marks: Any, low: float, high: float, inside: Any) -> int:
    """The values inside the mask and the bins; how many."""
    n = 0
    for at in range(0, values.size, 8):
        if load_eight(marks, at) == 0:
            continue
        for i in range(at, at + 8):
            value = np.float64(values[i])
            inside[n] = value
            n += int(marks[i] != 0 and low <= value <= high)
    return n


@jit
def _find_bins(values: Any, low: float, step: float, top: Any, where: Any) -> None:
    """A guess, off by one at most, and then what NumPy's edges say: k step + low, rounded twice."""
    scale = 1.0 / step
    for i in range(values.size):
        k = np.int32(min((values[i] - low) * scale, np.float64(top)))
        k = np.int32(k - np.int32(values[i] < k * step + low))
        k = np.int32(k + np.int32(values[i] >= np.float64(k + 1) * step + low))
        where[i] = min(max(k, np.int32(0)), top)


@jit
def _search_bins(values: Any, edges: Any, where: Any) -> None:
    top = edges.size - 2
    for i in range(values.size):
        where[i] = min(np.searchsorted(edges, values[i], "right") - 1, top)
