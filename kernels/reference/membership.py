"""How much each voxel is of a class of values."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from fastprep.core.fuzzy import memberships


def membership(
    x: npt.NDArray[Any],
    mask: npt.NDArray[Any],
    centers: npt.NDArray[np.float64],
    which: int,
    out: npt.NDArray[np.float32],
) -> None:
    """``out = d^-2 / sum_j d_j^-2``, d the distance to the centre ``which``; 0 outside the mask: all (B, Z, Y, X)."""
    out[...] = 0
    inside = np.broadcast_to(mask != 0, x.shape)
    out[inside] = memberships(x[inside].astype(np.float64), centers)[which]
