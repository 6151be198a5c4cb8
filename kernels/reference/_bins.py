"""Which bin of a histogram each value is in."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt


class Bins(NamedTuple):
    """Of every voxel: its bin, the part of that bin that is filled up to its value, and whether it counts at all."""

    place: npt.NDArray[np.int64]
    filled: npt.NDArray[np.float32]
    counts: npt.NDArray[np.bool_]


def bins_of(x: npt.NDArray[Any], bins: int, low: float, high: float) -> Bins:
    """Equal bins from ``low`` to ``high``; values beyond are in the first and the last.

    Whole numbers are in the bin of their lower end, and fill it up to their upper one: bins are as many at most as
    the whole numbers are. What is not finite does not count.
    """
    if x.dtype.kind in "iu":
        first, n = int(low), int(high) - int(low) + 1
        inside = np.minimum(x, np.array(2**62, np.uint64)) if x.dtype == np.uint64 else x
        scaled = (np.clip(inside.astype(np.int64), first, int(high)) - first) * bins
        index, rest = scaled // n, scaled % n
        filled = np.minimum(rest + bins, n).astype(np.float32) / np.float32(n)
        return Bins(index, filled, np.ones(x.shape, np.bool_))
    finite = np.isfinite(x)
    wide = np.where(finite, x, low).astype(np.float64)
    at = np.clip((wide - low) * (bins / (high - low)), 0, bins)
    index = np.minimum(at.astype(np.int64), bins - 1)
    return Bins(index, (at - index).astype(np.float32), finite)
