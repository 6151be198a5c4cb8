"""Voxels copied by one index table per axis: reorient, flip, crop, pad, and nearest-neighbour labels."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

Index = tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], npt.NDArray[np.int64]]


def take(x: npt.NDArray[Any], out: npt.NDArray[Any], index: Index, outside: float) -> None:
    """``out[b, z, y, x] = x[b, index[0][z], index[1][y], index[2][x]]``; where an index is -1, ``outside``.

    ``x`` (B, Z, Y, X) and ``out`` (B, z, y, x) of one dtype.
    """
    iz, iy, ix = index
    out[...] = x[:, iz[:, None, None], iy[:, None], ix]
    out[:, iz < 0] = outside
    out[:, :, iy < 0] = outside
    out[:, :, :, ix < 0] = outside
