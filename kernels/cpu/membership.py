"""How much each voxel is of a class of values: each read once in its own dtype."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from fastprep.core.fuzzy import least_distance
from fastprep.core.threads import run_slabs
from fastprep.kernels.cpu._numba import jit, source


def membership(
    x: npt.NDArray[Any],
    mask: npt.NDArray[Any],
    centers: npt.NDArray[np.float64],
    which: int,
    out: npt.NDArray[np.float32],
) -> None:
    """``out = d^-2 / sum_j d_j^-2``, d the distance to the centre ``which``; 0 outside the mask: all (B, Z, Y, X)."""
    values, marks, least = source(x), source(mask), least_distance(centers) ** 2
    planes, rows = x.shape[1:3]

    def work(start: int, stop: int) -> None:
        _rows(values, marks, centers, which, least, out, planes, rows, start, stop)

    run_slabs(work, x.shape[0] * planes * rows)


@jit
def _rows(
    x: Any,
    mask: Any,
    centers: Any,
    which: int,
    least: float,
    out: Any,
    planes: int,
    rows: int,
    start: int,
    stop: int,
) -> None:
    for row in range(start, stop):
        b, z, y = row // (planes * rows), row // rows % planes, row % rows
        line = out[b, z, y]
        at = x.start + b * x.sb + z * x.sz + y * x.sy
        mark = mask.start + b * mask.sb + z * mask.sz + y * mask.sy
        for i in range(line.size):
            if mask.flat[mark + i * mask.sx] == 0:
                line[i] = 0
                continue
            value = np.float64(x.flat[at + i * x.sx])
            total = mine = 0.0
            for j in range(centers.size):
                near = 1 / max((value - centers[j]) * (value - centers[j]), least)
                total += near
                if j == which:
                    mine = near
            line[i] = mine / total
