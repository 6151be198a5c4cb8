"""Volumes of what ``clusters`` found."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from fastprep.kernels.cpu._runs import write


def paint(runs: Any, values: npt.NDArray[np.int64], out: npt.NDArray[Any]) -> None:
    """``values`` (K,) of each region into its voxels of ``out`` (Z, Y, X), bool or integers; 0 elsewhere."""
    rows, component = runs
    write(rows, component, values.astype(out.dtype), out.dtype.type(0), out)
