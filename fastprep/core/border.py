"""Which voxel of an axis of n stands for an index beyond its ends, however far beyond."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

_Index = npt.NDArray[np.int64]


def mirrored(index: npt.NDArray[Any], n: int) -> _Index:
    """About the centres of the end voxels, ``c b | a b c d | c b``: OpenCV's REFLECT_101, ITK's mirror."""
    if n == 1:
        return np.zeros(index.shape, np.int64)
    at = np.mod(index, 2 * n - 2).astype(np.int64)
    return np.asarray(np.minimum(at, 2 * n - 2 - at))


def mirrored_with_ends(index: npt.NDArray[Any], n: int) -> _Index:
    """About the borders, the end voxels once more, ``b a | a b c d | d c``: SciPy's "reflect"."""
    at = np.mod(index, 2 * n).astype(np.int64)
    return np.asarray(np.minimum(at, 2 * n - 1 - at))
