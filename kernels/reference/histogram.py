"""How many voxels inside a mask have a value in each of equal bins."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt


def histogram(
    x: npt.NDArray[Any], mask: npt.NDArray[Any] | None, low: float, high: float, bins: int
) -> npt.NDArray[np.uint64]:
    """``(bins,)`` counts of ``x`` (Z, Y, X) where ``mask`` of that shape is not zero, as `numpy.histogram` counts.

    Bins are [a, b), the last [a, b]; what is not in [low, high] is in none.
    """
    values = (x if mask is None else x[mask != 0]).astype(np.float64).ravel()
    counts, _ = np.histogram(values[~np.isnan(values)], np.linspace(low, high, bins + 1))
    return counts.astype(np.uint64)
