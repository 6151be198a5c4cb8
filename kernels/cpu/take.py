"""Voxels copied by one index table per axis: reorient, flip, crop, pad, and nearest-neighbour labels.

Bytes: each voxel of the box read once, each result written once. A row whose source row was just copied is
copied from the result, and a run of consecutive voxels is one block.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from fastprep.core.threads import run_slabs
from fastprep.kernels.cpu._numba import Source, as_bits, jit

Index = tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], npt.NDArray[np.int64]]


def take(x: npt.NDArray[Any], out: npt.NDArray[Any], index: Index, outside: float) -> None:
    """``out[b, z, y, x] = x[b, index[0][z], index[1][y], index[2][x]]``; where an index is -1, ``outside``.

    ``x`` (B, Z, Y, X) and ``out`` (B, z, y, x) of one dtype.
    """
    src, target, fill = as_bits(x, out, outside)
    first, length = _run(index[2])
    depth = out.shape[1]
    run_slabs(lambda start, stop: _take(src, target, *index, fill, first, length, start, stop), out.shape[0] * depth)


def _run(ix: npt.NDArray[np.int64]) -> tuple[int, int]:
    """Where the table's sources begin, and how many there are if they are consecutive; else length -1."""
    used = np.flatnonzero(ix >= 0)
    if used.size == 0:
        return 0, 0
    consecutive = np.array_equal(ix[used[0] : used[0] + used.size], ix[used[0]] + np.arange(used.size))
    return int(used[0]), int(used.size) if consecutive else -1


@jit
def _take(
    src: Source, out: Any, iz: Any, iy: Any, ix: Any, fill: Any, first: int, length: int, start: int, stop: int
) -> None:
    depth, height, width = out.shape[1], out.shape[2], out.shape[3]
    for plane in range(start, stop):
        b, z = plane // depth, plane % depth
        if iz[z] < 0:
            out[b, z] = fill
            continue
        if plane > start and z > 0 and iz[z - 1] == iz[z]:
            out[b, z] = out[b, z - 1]
            continue
        for y in range(height):
            row = out[b, z, y]
            if iy[y] < 0:
                row[:] = fill
            elif y > 0 and iy[y - 1] == iy[y]:
                row[:] = out[b, z, y - 1]
            else:
                base = src.start + b * src.sb + iz[z] * src.sz + iy[y] * src.sy
                if length >= 0 and src.sx == 1:
                    row[:first] = fill
                    row[first + length :] = fill
                    begin = base + ix[first] if length else base
                    row[first : first + length] = src.flat[begin : begin + length]
                else:
                    for x in range(width):
                        i = ix[x]
                        row[x] = src.flat[base + max(i, 0) * src.sx] if i >= 0 else fill
