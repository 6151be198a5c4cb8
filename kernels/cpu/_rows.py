"""Rows: what the interpolation kernels do to one contiguous line of voxels, each a vector loop."""

from __future__ import annotations

from typing import Any

import numpy as np

from fastprep.kernels.cpu._numba import Source, jit, put


@jit
def read_line(src: Source, base: int, line: Any, pre: Any) -> None:
    """One input row as ``pre(x)``."""
    a, b, lo, hi = pre[0], pre[1], pre[2], pre[3]
    if src.sx == 1:
        row = src.flat[base : base + line.size]
        for i in range(line.size):
            v = a * row[i] + b
            v = lo if v < lo else v
            line[i] = hi if v > hi else v
    else:
        for i in range(line.size):
            v = a * src.flat[base + i * src.sx] + b
            v = lo if v < lo else v
            line[i] = hi if v > hi else v


@jit
def scale_into(target: Any, a: Any, w: Any) -> None:
    """``target = w a``."""
    for i in range(target.size):
        target[i] = a[i] * w


@jit
def add_into(target: Any, a: Any, w: Any) -> None:
    """``target += w a``."""
    for i in range(target.size):
        target[i] += a[i] * w


@jit
def lerp_into(target: Any, a: Any, b: Any, w: Any) -> None:
    """``a`` towards ``b`` by ``w``: a constant stays exactly itself."""
    for i in range(target.size):
        target[i] = a[i] + (b[i] - a[i]) * w


@jit
def finish(values: Any, row: Any, a: Any, b: Any, lo: Any, hi: Any) -> None:
    """A blended row through a post Ramp into the output's dtype."""
    if a == 1 and b == 0 and lo == -np.inf and hi == np.inf:
        for i in range(values.size):
            put(row, i, values[i])
        return
    for i in range(values.size):
        y = a * values[i] + b
        y = lo if y < lo else y
        y = hi if y > hi else y
        put(row, i, y)
