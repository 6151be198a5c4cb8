"""The mean of the neighbours of each voxel that are near in space and alike in value: a row, neighbour by neighbour."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from fastprep.core.threads import run_slabs
from fastprep.kernels.cpu._exponential import falling_exponential
from fastprep.kernels.cpu._half import cast
from fastprep.kernels.cpu._numba import jit, native

#: Voxels of a row that are done together, so that their sums stay in the cache.
_SPAN = 1024
#: Weights of less than exp of this are 0: no digit of a sum that holds a 1.
_LEAST = np.float32(-60.0)


def bilateral(
    x: npt.NDArray[Any], out: npt.NDArray[Any], reach: tuple[int, ...], near: npt.NDArray[np.float32], scale: float
) -> None:
    """``out = x(p) + sum w d / sum w``, ``w = near exp(-scale d^2)``, d = x(q) - x(p), q up to ``reach`` away from p.

    All (B, Z, Y, X), ``near`` (2 r + 1, ...) of each axis; a window ends at the border.
    """
    if out.dtype == np.float16:
        wide = np.empty(out.shape, np.float32)
        bilateral(x, wide, reach, near, scale)
        cast(wide, out)
        return
    given = native(x)
    # Differences of what float32 holds are found in float32.
    exact = given.dtype == np.float32 or given.itemsize <= 2
    values = np.ascontiguousarray(given, np.float32 if exact else np.float64)
    _, nz, ny, nx = x.shape
    rows = values.reshape(-1), out.reshape(-1)
    how = (nz, ny, nx), reach, near, np.float32(-scale)
    run_slabs(lambda start, stop: _rows(*rows, *how, start, stop), len(x) * nz * ny)


@jit
def _rows(flat: Any, out: Any, shape: Any, reach: Any, near: Any, scale: Any, start: int, stop: int) -> None:
    nz, ny, nx = shape
    rz, ry, rx = reach
    total, weights = np.empty(_SPAN, np.float32), np.empty(_SPAN, np.float32)
    for row in range(start, stop):
        y, z = row % ny, row // ny % nz
        for x0 in range(0, nx, _SPAN):
            x1 = min(x0 + _SPAN, nx)
            total[:] = 0
            weights[:] = 0
            for dz in range(-min(rz, z), min(rz, nz - 1 - z) + 1):
                for dy in range(-min(ry, y), min(ry, ny - 1 - y) + 1):
                    for dx in range(-rx, rx + 1):
                        first, last = max(x0, -dx), min(x1, nx - dx)
                        at = row * nx + first
                        one = near[dz + rz, dy + ry, dx + rx]
                        beside = at + (dz * ny + dy) * nx + dx
                        if last > first and one > 0:
                            _add(flat, at, beside, one, scale, last - first, first - x0, total, weights)
            _finish(flat, row * nx + x0, x1 - x0, total, weights, out)


@jit
def _add(
    flat: Any, at: int, beside: int, near: Any, scale: Any, many: int, place: int, total: Any, weights: Any
) -> None:
    """One neighbour of voxels side by side to their sums."""
    # Numbers without a sign: of others a negative one would be from the end, which each would be asked for.
    here, there, to = np.uint64(at), np.uint64(beside), np.uint64(place)
    for k in range(np.uint64(many)):
        d = np.float32(flat[there + k] - flat[here + k])
        exponent = d * d * scale
        w = near * falling_exponential(exponent if exponent > _LEAST else _LEAST)
        w = w if exponent > _LEAST else np.float32(0)
        total[to + k] += w * d
        weights[to + k] += w


@jit
def _finish(flat: Any, at: int, many: int, total: Any, weights: Any, out: Any) -> None:
    start = np.uint64(at)
    for k in range(np.uint64(many)):
        out[start + k] = flat[start + k] + total[k] / weights[k]
