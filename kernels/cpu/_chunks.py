"""Chunks of the voxels inside a mask: each read once from any layout into a row of float64 that stays in the cache."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from fastprep.kernels.cpu._numba import jit, source

#: Voxels of a chunk, in C order: what a block of the CUDA kernels takes, so that sums are of the same groups.
CHUNK = 4096

_EVERYWHERE = np.ones((1, 1, 1), np.uint8)


def strided(x: npt.NDArray[Any], mask: npt.NDArray[Any] | None) -> tuple[Any, Any, bool, int, int]:
    """What `load` reads ``x`` (Z, Y, X) and its mask by."""
    flat, start, _, *steps = source(x[None])
    marks = source((_EVERYWHERE if mask is None else mask)[None])
    return (flat, start, *steps), (marks.flat, marks.start, *marks[3:]), mask is not None, x.shape[1], x.shape[2]


@jit
def load(x: Any, mask: Any, masked: bool, ny: int, nx: int, first: int, last: int, values: Any) -> int:
    """Voxels ``first <= i < last`` into ``values``, NaN where outside or not finite; how many are inside."""
    flat, start, sz, sy, sx = x
    marks, origin, mz, my, mx = mask
    inside = last - first
    at = first
    while at < last:
        row, left = at // nx, at % nx
        n = min(nx - left, last - at)
        z, y = row // ny, row % ny
        line = values[at - first : at - first + n]
        _read(flat, start + z * sz + y * sy + left * sx, sx, line)
        if masked:
            inside -= _leave_out(marks, origin + z * mz + y * my + left * mx, mx, line)
        at += n
    return inside


@jit
def _read(flat: Any, base: int, step: int, line: Any) -> None:
    for i in range(line.size):
        v = np.float64(flat[base + i * step])
        line[i] = v if abs(v) < np.inf else np.nan


@jit
def _leave_out(flat: Any, base: int, step: int, line: Any) -> int:
    count = 0
    for i in range(line.size):
        outside = flat[base + i * step] == 0
        count += outside
        line[i] = np.nan if outside else line[i]
    return count
