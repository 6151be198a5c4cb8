"""Count, mean, squared deviations and extremes of the voxels inside a mask, each read once.

Sums are of 256 lanes per chunk, added as a tree: the bits of the CUDA kernel, on any number of threads.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from fastprep.core.moments import Moments
from fastprep.core.threads import run_slabs
from fastprep.kernels.cpu._chunks import CHUNK, load, strided
from fastprep.kernels.cpu._numba import jit

_LANES = 256


def moments(x: npt.NDArray[Any], mask: npt.NDArray[Any] | None) -> Moments:
    """Of ``x`` (Z, Y, X) where ``mask`` of that shape is not zero; everywhere without one."""
    rows = np.zeros((-(-x.size // CHUNK), 6))
    layout = strided(x, mask)
    run_slabs(lambda start, stop: _slab(*layout, x.size, start, stop, rows), len(rows))
    return Moments.of_chunks(rows)


@jit
def _slab(x: Any, mask: Any, masked: bool, ny: int, nx: int, size: int, start: int, stop: int, rows: Any) -> None:
    values, lanes = np.empty(CHUNK), np.empty((4, _LANES))
    for k in range(start, stop):
        last = min((k + 1) * CHUNK, size)
        inside = load(x, mask, masked, ny, nx, k * CHUNK, last, values)
        _summarise(values[: last - k * CHUNK], inside, lanes, rows[k])


@jit
def _summarise(values: Any, inside: int, lanes: Any, row: Any) -> None:
    """One chunk, in which NaN is what does not count."""
    count, total, low, high = lanes
    count[:] = 0.0
    total[:] = 0.0
    low[:] = np.inf
    high[:] = -np.inf
    for j in range(0, values.size, _LANES):
        some = values[j : j + _LANES]
        for i in range(some.size):
            v = some[i]
            counts = v == v
            count[i] += 1.0 if counts else 0.0
            total[i] += v if counts else 0.0
            low[i] = v if v < low[i] else low[i]
            high[i] = v if v > high[i] else high[i]
    n, row[1] = _tree(count), _tree(total)
    row[0], row[5] = n, inside - n
    row[3], row[4] = low.min(), high.max()
    mean = row[1] / n
    total[:] = 0.0
    for j in range(0, values.size, _LANES):
        some = values[j : j + _LANES]
        for i in range(some.size):
            d = some[i] - mean
            total[i] += d * d if d == d else 0.0
    row[2] = _tree(total)


@jit
def _tree(lanes: Any) -> float:
    step = _LANES // 2
    while step:
        for i in range(step):
            lanes[i] += lanes[i + step]
        step //= 2
    return float(lanes[0])
