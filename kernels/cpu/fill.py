"""Masks with their holes filled, from the runs of what is not set."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from fastprep.kernels.cpu._numba import jit
from fastprep.kernels.cpu._runs import Runs, components, sizes, write


def fill(mask: npt.NDArray[Any], connectivity: int, planar: bool, largest: int, out: npt.NDArray[np.bool_]) -> None:
    """Each volume of ``mask`` (B, Z, Y, X), bytes, and the holes in it, into ``out``; it may be that.

    A hole is a component of what is not set that does not touch the border, and has at most ``largest`` voxels, or any
    number with -1; connectivity 1 is by faces, 2 by edges, 3 by corners. With ``planar`` each plane (Y, X) is by
    itself. An axis of one voxel has no border, unless all have one.
    """
    for volume, result in zip(mask, out, strict=True):
        gaps = Runs.of(volume, complement=True)
        component, count = components(gaps, connectivity, planar=planar)
        nz, ny, nx = volume.shape
        depth = 1 if planar else nz
        if max(depth, ny, nx) == 1:
            hole = np.zeros(count, np.bool_)
        else:
            hole = ~_border(gaps.first, gaps.ends, component, count, depth, ny, nx)
        if largest >= 0:
            hole &= sizes(gaps, component, count) <= largest
        write(gaps, component, hole, np.True_, result)


@jit
def _border(first: Any, ends: Any, component: Any, count: int, depth: int, ny: int, nx: int) -> Any:
    """Which components touch the border; with a ``depth`` of 1 that of planes alone."""
    found = np.zeros(count, np.bool_)
    for row in range(first.size - 1):
        z, y = row // ny, row % ny
        edge = (depth > 1 and (z == 0 or z == depth - 1)) or (ny > 1 and (y == 0 or y == ny - 1))
        for i in range(first[row], first[row + 1]):
            if edge or (nx > 1 and (ends[i, 0] == 0 or ends[i, 1] == nx)):
                found[component[i]] = True
    return found
