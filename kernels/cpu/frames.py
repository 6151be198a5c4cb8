"""Mean and variance of every pixel over a stack of frames, one row of all frames at a time."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from fastprep.core.threads import run_slabs
from fastprep.kernels.cpu._numba import jit, source


def frames(x: npt.NDArray[Any], mean: npt.NDArray[np.float32], variance: npt.NDArray[np.float32]) -> None:
    """Of ``x`` (N, Z, Y, X) into ``mean`` and ``variance`` (Z, Y, X), summed in float64; variance of the population."""
    given = source(x)
    count, _, rows, width = x.shape
    of_rows, spread = mean.reshape(-1, width), variance.reshape(-1, width)
    run_slabs(lambda start, stop: _rows(given, count, rows, of_rows, spread, start, stop), len(of_rows))


@jit
def _rows(x: Any, count: int, rows: int, mean: Any, variance: Any, start: int, stop: int) -> None:
    center, squares = np.empty(mean.shape[1], np.float64), np.empty(mean.shape[1], np.float64)
    for row in range(start, stop):
        first = x.start + row // rows * x.sz + row % rows * x.sy
        center[:] = 0
        squares[:] = 0
        for n in range(count):
            for i in range(center.size):
                center[i] += np.float64(x.flat[first + n * x.sb + i * x.sx])
        for i in range(center.size):
            center[i] /= count
        for n in range(count):
            for i in range(center.size):
                away = np.float64(x.flat[first + n * x.sb + i * x.sx]) - center[i]
                squares[i] += away * away
        for i in range(center.size):
            mean[row, i], variance[row, i] = center[i], squares[i] / count
