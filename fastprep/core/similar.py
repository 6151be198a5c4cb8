"""What scikit-image's fast non-local means is made of beside the definition: its window and its exponential."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

#: Distances above this have no weight.
CUTOFF = 5.0
#: exp(-d) as the high word of a float64 (Schraudolph 1999): a line in d, less than the word of 1.
SLOPE, WORD = 1512775.3951951856938, 1072632447


def patch_window(radius: int) -> tuple[int, int]:
    """First and last voxel of a patch: 2 radius of them, half a voxel off the centre."""
    return (1 - radius, radius) if radius else (0, 0)


def quick_weight(distance: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """``exp(-distance)`` within 6 %, 0 above the cut-off."""
    word = np.trunc(-SLOPE * np.minimum(distance, CUTOFF)).astype(np.int64) + WORD
    weight = (word << 32).view(np.float64)
    return np.where(distance > CUTOFF, 0.0, weight)
