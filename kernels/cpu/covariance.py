"""Means and covariances of channels over the voxels inside a mask, each voxel read once.

Sums are of 256 lanes per row of 2048 voxels, added as a tree: the bits of the CUDA kernel, on any number of threads.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from fastprep.core.covariance import Covariance
from fastprep.kernels.cpu._chunks import CHUNK, buffers, chunk, over_chunks, voxels
from fastprep.kernels.cpu._numba import jit

_LANES = 256
#: Voxels of a row of sums; a chunk has several.
_ROW = 8 * _LANES


def covariance(x: npt.NDArray[Any], mask: npt.NDArray[Any] | None) -> Covariance:
    """Of ``x`` (K, Z, Y, X) where ``mask`` (Z, Y, X) is not zero, everywhere without one, and every channel finite."""
    k = len(x)
    layout = voxels(x, None if mask is None else np.broadcast_to(mask, x.shape))
    rows = np.zeros((-(-layout.size // _ROW), 1 + 2 * k + k * (k + 1) // 2))
    over_chunks(lambda start, stop: _slab(layout, k, start, stop, rows), 1, layout)
    return Covariance.of_chunks(rows, k)


@jit
def _slab(v: Any, channels: int, start: int, stop: int, rows: Any) -> None:
    values, counts = np.empty((channels, CHUNK)), np.empty(CHUNK, np.bool_)
    # As many as there are products, which are never fewer than channels.
    lanes, room = np.empty((rows.shape[1] - 1 - 2 * channels, _LANES)), buffers(v)
    for c in range(start, stop):
        size = min(CHUNK, v.size - c * CHUNK)
        first = c * CHUNK // _ROW
        counts[:] = True
        for k in range(channels):
            some, marks = chunk(v, k * v.chunks + c, room)
            rows[first, 1 + k] = _take(some[:size], marks[:size], values[k], counts)
        for at in range(0, size, _ROW):
            _summarise(values, counts, at, min(at + _ROW, size), lanes, rows[first + at // _ROW])


@jit
def _take(some: Any, marks: Any, line: Any, counts: Any) -> int:
    """One channel of a chunk; how many of its voxels inside are not finite, which count in no channel."""
    odd = 0
    for i in range(some.size):
        v, inside = np.float64(some[i]), marks[i] != 0
        finite = np.isfinite(v)
        line[i] = v
        odd += inside and not finite
        counts[i] &= inside & finite
    return odd


@jit
def _summarise(values: Any, counts: Any, start: int, stop: int, lanes: Any, row: Any) -> None:
    """One row of sums, a step of all lanes at a time while it is in the cache; values become deviations."""
    channels, n = len(values), np.count_nonzero(counts[start:stop])
    row[0] = n
    if n == 0:
        return
    totals = row[1 + channels : 1 + 2 * channels]
    products = row[1 + 2 * channels :]
    lanes[:channels] = 0.0
    for at in range(start, stop, _LANES):
        end = min(at + _LANES, stop)
        for k in range(channels):
            _add(values[k][at:end], counts[at:end], lanes[k])
    for k in range(channels):
        totals[k] = _tree(lanes[k])
    lanes[:] = 0.0
    for at in range(start, stop, _LANES):
        end = min(at + _LANES, stop)
        for k in range(channels):
            _subtract(values[k][at:end], counts[at:end], totals[k] / n)
        p = 0
        for i in range(channels):
            for j in range(i, channels):
                _multiply(values[i][at:end], values[j][at:end], lanes[p])
                p += 1
    for p in range(products.size):
        products[p] = _tree(lanes[p])


@jit
def _add(some: Any, counts: Any, lanes: Any) -> None:
    for i in range(some.size):
        lanes[i] += some[i] if counts[i] else 0.0


@jit
def _subtract(some: Any, counts: Any, mean: float) -> None:
    for i in range(some.size):
        some[i] = some[i] - mean if counts[i] else 0.0


@jit
def _multiply(a: Any, b: Any, lanes: Any) -> None:
    for i in range(a.size):
        lanes[i] += a[i] * b[i]


@jit
def _tree(lanes: Any) -> float:
    step = _LANES // 2
    while step:
        for i in range(step):
            lanes[i] += lanes[i + step]
        step //= 2
    return float(lanes[0])
