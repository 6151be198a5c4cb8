"""The smallest box that holds every non-zero voxel."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt


def bounds(mask: npt.NDArray[Any]) -> npt.NDArray[np.int64]:
    """``(3, 2)`` start and stop per axis of a mask (Z, Y, X); all zero when the mask is empty."""
    found = np.nonzero(mask)
    if found[0].size == 0:
        return np.zeros((3, 2), dtype=np.int64)
    return np.array([(i.min(), i.max() + 1) for i in found], dtype=np.int64)
