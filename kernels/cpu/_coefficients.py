"""Cubic B-spline coefficients of a whole volume, for maps that are not separable."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from fastprep.core.threads import run_slabs
from fastprep.kernels.cpu._cubic import prefilter_rows
from fastprep.kernels.cpu._numba import Source, jit
from fastprep.kernels.cpu._rows import read_line


def coefficients(src: Source, shape: tuple[int, ...], pre: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """``pre(x)`` filtered along z, y and x, in the type of ``pre``; ``shape`` is (B, Z, Y, X)."""
    c = np.empty(shape, pre.dtype)
    batch, depth, height, _ = shape
    run_slabs(lambda start, stop: _yx(src, c, pre, start, stop), batch * depth)
    for b in range(batch):
        volume = c[b]
        run_slabs(lambda start, stop: _z(volume, start, stop), height)
    return c


@jit
def _yx(src: Source, c: Any, pre: Any, start: int, stop: int) -> None:
    _, depth, height, width = c.shape
    lanes = 16
    tile = np.empty((width, lanes), c.dtype)
    for plane in range(start, stop):
        b, z = plane // depth, plane % depth
        target = c[b, z]
        for y in range(height):
            read_line(src, src.start + b * src.sb + z * src.sz + y * src.sy, target[y], pre)
        prefilter_rows(target)
        for first in range(0, height, lanes):
            for lane in range(lanes):
                row = target[min(first + lane, height - 1)]
                for x in range(width):
                    tile[x, lane] = row[x]
            prefilter_rows(tile)
            for lane in range(min(lanes, height - first)):
                row = target[first + lane]
                for x in range(width):
                    row[x] = tile[x, lane]


@jit
def _z(volume: Any, start: int, stop: int) -> None:
    depth, _, width = volume.shape
    column = np.empty((depth, width), volume.dtype)
    for y in range(start, stop):
        for z in range(depth):
            column[z] = volume[z, y]
        prefilter_rows(column)
        for z in range(depth):
            volume[z, y] = column[z]
