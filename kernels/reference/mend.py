"""Bad pixels replaced by the median of good ones around them."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from fastprep.core.detector import LEAST_GOOD, MEND_REACH
from fastprep.kernels.reference._store import store


def mend(x: npt.NDArray[Any], bad: npt.NDArray[Any], out: npt.NDArray[Any]) -> None:
    """``x`` and ``out`` (B, Z, Y, X), ``out`` contiguous; ``bad`` (1 or B, Z, Y, X), not zero where it is.

    A pixel is mended from the smallest centred square of its plane (3x3, 5x5, ... up to `MEND_REACH`) that has at least
    `LEAST_GOOD` good pixels within the image, NaN being none; the median of an even number is the mean of the two in
    the middle. Where no square has so many, the pixel stays as it is.
    """
    out[...] = x
    for b, z, y, j in np.argwhere(np.broadcast_to(bad, x.shape) != 0).tolist():
        plane, marks = x[b, z], bad[min(b, len(bad) - 1), z]
        for reach in range(1, MEND_REACH + 1):
            square = (slice(max(0, y - reach), y + reach + 1), slice(max(0, j - reach), j + reach + 1))
            values = plane[square].astype(np.float64)
            good = values[(marks[square] == 0) & ~np.isnan(values)]
            if good.size >= LEAST_GOOD:
                ordered = np.sort(good)
                middle = (ordered[(good.size - 1) // 2] + ordered[good.size // 2]) / 2
                store(out[b, z, y, j : j + 1], np.array([middle]))
                break
