"""Where values lie between two numbers: each voxel read once in its own dtype."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from fastprep.core.threads import run_slabs
from fastprep.kernels.cpu._numba import jit, source


def between(
    x: npt.NDArray[Any], mask: npt.NDArray[Any] | None, low: float, high: float, out: npt.NDArray[np.bool_]
) -> None:
    """``out = low < x < high`` where ``mask`` is not zero, everywhere without one: all (B, Z, Y, X)."""
    values, marks = source(x), None if mask is None else source(mask)
    answer, (planes, rows) = out.view(np.uint8), x.shape[1:3]

    def work(start: int, stop: int) -> None:
        _rows(
            values, values if marks is None else marks, marks is not None, low, high, answer, planes, rows, start, stop
        )

    run_slabs(work, x.shape[0] * planes * rows)


@jit
def _rows(
    x: Any, mask: Any, masked: bool, low: float, high: float, out: Any, planes: int, rows: int, start: int, stop: int
) -> None:
    for row in range(start, stop):
        b, z, y = row // (planes * rows), row // rows % planes, row % rows
        line = out[b, z, y]
        at = x.start + b * x.sb + z * x.sz + y * x.sy
        for i in range(line.size):
            value = np.float64(x.flat[at + i * x.sx])
            line[i] = low < value < high
        if masked:
            at = mask.start + b * mask.sb + z * mask.sz + y * mask.sy
            for i in range(line.size):
                line[i] &= mask.flat[at + i * mask.sx] != 0
