"""The largest component of a mask, its holes filled, from the runs of its rows."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from fastprep.core.threads import run_slabs
from fastprep.kernels.cpu._numba import jit
from fastprep.kernels.cpu._runs import Runs, components


def solid(mask: npt.NDArray[Any], out: npt.NDArray[np.bool_]) -> None:
    """The largest component of each volume of ``mask`` (B, Z, Y, X), bytes, holes filled, into ``out``; it may be that.

    Voxels are connected by faces, edges and corners; of two largest it is the one whose first voxel comes first. Holes
    are what faces do not connect with the border. An axis of one voxel is none, and has no border.
    """
    for volume, result in zip(mask, out, strict=True):
        _volume(volume, result)


def _volume(mask: npt.NDArray[Any], out: npt.NDArray[np.bool_]) -> None:
    runs = Runs.of(mask)
    if not len(runs.begin):
        out[...] = False
        return
    component = components(runs, 3)
    best = _largest(runs.begin, runs.end, component)
    nz, ny, nx = runs.shape
    gaps = Runs.filled(runs.shape, lambda *slab: _between(*runs[:3], component, best, nx, *slab))
    around = components(gaps, 1)
    outside = _border(*gaps[:3], around, nz, ny, nx)
    rows = out.reshape(-1, nx)
    run_slabs(lambda start, stop: _fill(*gaps[:3], around, outside, start, stop, rows), len(rows))


@jit
def _largest(begin: Any, end: Any, component: Any) -> int:
    sizes, best = np.zeros(begin.size, np.int64), 0
    for i in range(begin.size):
        sizes[component[i]] += end[i] - begin[i]
    for i in range(begin.size):
        if sizes[i] > sizes[best]:
            best = i
    return best


@jit
def _between(
    first: Any,
    begin: Any,
    end: Any,
    component: Any,
    best: int,
    nx: int,
    start: int,
    stop: int,
    gaps: Any,
    gap_begin: Any,
    gap_end: Any,
    write: bool,
) -> None:
    """The runs of what is not component ``best``, as `Runs.filled` asks for them."""
    for row in range(start, stop):
        count, at, n = 0, 0, gaps[row]
        for i in range(first[row], first[row + 1] + 1):
            last = i == first[row + 1]
            if not last and component[i] != best:
                continue
            x = nx if last else begin[i]
            if x > at:
                if write:
                    gap_begin[n + count], gap_end[n + count] = at, x
                count += 1
            if not last:
                at = end[i]
        if not write:
            gaps[row + 1] = count


@jit
def _border(first: Any, begin: Any, end: Any, component: Any, nz: int, ny: int, nx: int) -> Any:
    """Which components touch the border."""
    found = np.zeros(begin.size, np.bool_)
    for row in range(nz * ny):
        z, y = row // ny, row % ny
        edge = (nz > 1 and (z == 0 or z == nz - 1)) or (ny > 1 and (y == 0 or y == ny - 1))
        for i in range(first[row], first[row + 1]):
            if edge or (nx > 1 and (begin[i] == 0 or end[i] == nx)):
                found[component[i]] = True
    return found


@jit
def _fill(first: Any, begin: Any, end: Any, component: Any, outside: Any, start: int, stop: int, out: Any) -> None:
    """Everything but the gaps that are outside."""
    for row in range(start, stop):
        line = out[row]
        line[:] = True
        for i in range(first[row], first[row + 1]):
            if outside[component[i]]:
                line[begin[i] : end[i]] = False
