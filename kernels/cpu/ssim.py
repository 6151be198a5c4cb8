"""Structural similarity of two volumes.

Sums run along z, y and then x, row by row: of the rows that a window reaches, those along z are kept in the cache. Each
row is summed by itself and the rows in their order: the same bits on any number of threads.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from fastprep.core.border import mirrored_with_ends
from fastprep.core.threads import run_slabs
from fastprep.kernels.cpu._numba import jit, source
from fastprep.kernels.cpu._pairs import alike

_Array = npt.NDArray[np.float64]


def ssim(
    a: npt.NDArray[Any],
    b: npt.NDArray[Any],
    weights: tuple[_Array, _Array, _Array],
    reach: tuple[int, int, int],
    unbias: float,
    c1: float,
    c2: float,
    out: npt.NDArray[Any] | None,
) -> list[float]:
    """The mean over the voxels of each volume (B, Z, Y, X) whose window lies inside, NaN where there are none.

    ``s = (2 ma mb + c1) (2 cov + c2) / ((ma^2 + mb^2 + c1) (va + vb + c2))`` of local means, variances and covariance
    under symmetric ``weights`` (2 reach + 1,) along each axis, variances times ``unbias``. ``out``, where given, takes
    s of every voxel; beyond the border the image is mirrored, the border repeated.
    """
    shape = a.shape[1:]
    first, second = (tuple(source(_by_rows(x))) for x in alike(a, b))
    inner = [range(r, max(n - r, r)) for r, n in zip(reach, shape, strict=True)]
    seen = [range(n) for n in shape] if out is not None else inner
    (nz, ny), volume = map(len, seen[:2]), math.prod(map(len, inner))
    sums = np.zeros((len(a), nz * ny))
    mirrored = tuple(mirrored_with_ends(np.arange(-r, n + r), n) for n, r in zip(shape, reach, strict=True))
    ends = np.array([(r.start, r.stop) for r in inner])
    # One kind of map is compiled, whether there is one or not.
    maps = np.empty((1, 0, 0, 0), np.float64 if first[0].dtype == np.float64 else np.float32) if out is None else out
    how = tuple(weights), mirrored, reach, (unbias, c1, c2), ends, (seen[0].start, seen[1].start, ny)

    def work(start: int, stop: int) -> None:
        i = start
        while i < stop:
            b, row = divmod(i, nz * ny)
            last = min(stop - i + row, nz * ny)
            _rows(first, second, b, row, last, *how, sums[b], maps[b if out is not None else 0])
            i += last - row

    run_slabs(work, len(a) * nz * ny)
    return [math.fsum(s) / volume if np.isfinite(s).all() and volume else math.nan for s in sums]


def _by_rows(x: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """With rows that lie in memory as they are read."""
    return x if x.strides[3] == x.itemsize or x.shape[3] == 1 else np.ascontiguousarray(x)


@jit
def _rows(
    a: Any,
    b: Any,
    volume: int,
    start: int,
    stop: int,
    weights: Any,
    mirrored: Any,
    reach: Any,
    constants: Any,
    ends: Any,
    seen: Any,
    sums: Any,
    out: Any,
) -> None:
    rx, taps = reach[2], 2 * reach[1] + 1
    nx = mirrored[2].size - 2 * rx
    z0, y0, ny = seen
    (first_z, last_z), (first_y, last_y), (first, last) = ends[0], ends[1], ends[2]
    ring = np.empty((taps, 4, nx))
    wide, local = np.empty((4, nx + 2 * rx)), np.empty((4, nx))
    s = np.empty(nx)
    at = -1
    for row in range(start, stop):
        z, y = z0 + row // ny, y0 + row % ny
        # What the row before has summed along z is there, unless that one was of another plane.
        for j in range(y + taps - 1 if at == z else y, y + taps):
            _along_z(a, b, volume, z, mirrored[1][j], mirrored[0], weights[0], ring[j % taps])
        at = z
        for part in range(4):
            _along_y(ring, part, y, weights[1], wide[part, rx : rx + nx])
            for i in range(rx):
                wide[part, i] = wide[part, rx + mirrored[2][i]]
                wide[part, rx + nx + i] = wide[part, rx + mirrored[2][rx + nx + i]]
            _along_x(wide[part], weights[2], local[part])
        _similarity(local, constants, s)
        if out.size:
            line = out[z, y]
            for i in range(nx):
                line[i] = s[i]
        if first_z <= z < last_z and first_y <= y < last_y:
            sums[row] = _total(s[first:last])


@jit
def _along_z(a: Any, b: Any, volume: int, z: int, y: int, planes: Any, weights: Any, sums: Any) -> None:
    """Sums along z of both, of their squares and of their product."""
    flat, start, sb, sz, sy, _ = a
    other, origin, ob, oz, oy, _ = b
    n, middle = sums.shape[1], weights.size // 2
    one, two, squares, products = sums[0], sums[1], sums[2], sums[3]
    base, there = start + volume * sb + y * sy, origin + volume * ob + y * oy
    at, to = base + planes[z + middle] * sz, there + planes[z + middle] * oz
    left, right, w = flat[at : at + n], other[to : to + n], weights[middle]
    for i in range(n):
        u, v = np.float64(left[i]), np.float64(right[i])
        one[i], two[i] = w * u, w * v
        squares[i], products[i] = w * (u * u + v * v), w * (u * v)
    for k in range(1, middle + 1):
        below, above = planes[z + middle - k], planes[z + middle + k]
        at, to = base + below * sz, there + below * oz
        left, right, w = flat[at : at + n], other[to : to + n], weights[middle + k]
        at, to = base + above * sz, there + above * oz
        left2, right2 = flat[at : at + n], other[to : to + n]
        for i in range(n):
            u, v = np.float64(left[i]), np.float64(right[i])
            u2, v2 = np.float64(left2[i]), np.float64(right2[i])
            one[i] += w * (u + u2)
            two[i] += w * (v + v2)
            squares[i] += w * ((u * u + v * v) + (u2 * u2 + v2 * v2))
            products[i] += w * (u * v + u2 * v2)


@jit
def _along_y(ring: Any, part: int, y: int, weights: Any, sums: Any) -> None:
    taps, middle = ring.shape[0], weights.size // 2
    line, w = ring[(y + middle) % taps, part], weights[middle]
    for i in range(sums.size):
        sums[i] = w * line[i]
    for k in range(1, middle + 1):
        below, above, w = ring[(y + middle - k) % taps, part], ring[(y + middle + k) % taps, part], weights[middle + k]
        for i in range(sums.size):
            sums[i] += w * (below[i] + above[i])


@jit
def _along_x(line: Any, weights: Any, sums: Any) -> None:
    n, middle = sums.size, weights.size // 2
    at, w = line[middle : middle + n], weights[middle]
    for i in range(n):
        sums[i] = w * at[i]
    for k in range(1, middle + 1):
        left, right, w = line[middle - k : middle - k + n], line[middle + k : middle + k + n], weights[middle + k]
        for i in range(n):
            sums[i] += w * (left[i] + right[i])


@jit
def _similarity(local: Any, constants: Any, s: Any) -> None:
    unbias, c1, c2 = constants
    one, two, squares, products = local[0], local[1], local[2], local[3]
    for i in range(s.size):
        means, both = one[i] * two[i], one[i] * one[i] + two[i] * two[i]
        cov, var = unbias * (products[i] - means), unbias * (squares[i] - both)
        s[i] = (2.0 * means + c1) * (2.0 * cov + c2) / ((both + c1) * (var + c2))


@jit
def _total(s: Any) -> float:
    """The sum, of sixteen lanes."""
    lanes = np.zeros(16)
    whole = s.size // 16 * 16
    for first in range(0, whole, 16):
        part = s[first : first + 16]
        for i in range(16):
            lanes[i] += part[i]
    for i in range(whole, s.size):
        lanes[i - whole] += s[i]
    total = 0.0
    for i in range(16):
        total += lanes[i]
    return total
