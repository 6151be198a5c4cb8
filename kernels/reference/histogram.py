"""How many voxels inside a mask have a value in each of equal bins."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt


def histogram(
    x: npt.NDArray[Any],
    mask: npt.NDArray[Any] | None,
    lows: npt.NDArray[np.float64],
    highs: npt.NDArray[np.float64],
    bins: int,
) -> npt.NDArray[np.uint64]:
    """``(B, bins)`` counts of ``x`` (B, Z, Y, X) where ``mask`` of that shape is not zero, as `numpy.histogram` counts.

    Bins of volume b are [a, b), the last [a, b], equal ones from ``lows[b]`` to ``highs[b]``; what is not in there is
    in none.
    """
    out = np.empty((len(x), bins), np.uint64)
    for b, volume in enumerate(x):
        values = (volume if mask is None else volume[mask[b] != 0]).astype(np.float64).ravel()
        out[b], _ = np.histogram(values[~np.isnan(values)], np.linspace(lows[b], highs[b], bins + 1))
    return out
