"""Volumes of what ``clusters`` found."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt


def paint(runs: Any, values: npt.NDArray[np.int64], out: npt.NDArray[Any]) -> None:
    """``values`` (K,) of each region into its voxels of ``out`` (Z, Y, X), bool or integers; 0 elsewhere."""
    out[...] = np.concatenate([np.zeros(1, np.int64), values])[runs]
