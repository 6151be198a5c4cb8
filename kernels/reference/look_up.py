"""``out``: the lines through the entries of a table, one for each whole number from ``first`` on; its ends beyond."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from fastprep.kernels.reference._store import store


def look_up(x: npt.NDArray[Any], out: npt.NDArray[Any], first: float, table: npt.NDArray[np.float64]) -> None:
    """``x`` (...), ``out`` (1, ...), ``table`` (N,) at the numbers first, first + 1, ... NaN passes through."""
    values = x.astype(np.float64) - first
    with np.errstate(invalid="ignore"):
        store(out[0], np.where(np.isnan(values), values, np.interp(values, np.arange(len(table)), table)))
