"""Bins of histograms that are looked at."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

_Array = npt.NDArray[Any]


def edges_of(before: _Array, after: _Array) -> _Array:
    """Some 200 bins, each as wide as a whole number of the grey levels that integers were stored in.

    Others would hold one level more than their neighbours every so often, and look like a comb.
    """
    low, high = np.percentile(np.concatenate([before, after]).astype(np.float64), (0.1, 99.9)).tolist()
    width = max((high - low) / 200, 1e-6)
    levels = np.unique(before[:: max(1, before.size // 100_000)].astype(np.float64))
    step = float(np.diff(levels).min(initial=np.inf))
    if width / 50 < step < np.inf:
        width = max(1, round(width / step)) * step
        low = float(levels[0]) + (np.floor((low - levels[0]) / step) - 0.5) * step
    return np.asarray(low + width * np.arange(max(np.ceil((high - low) / width), 1) + 1))
