"""``out``: the lines through the entries of a table, one for each whole number from ``first`` on; its ends beyond."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from fastprep.kernels.cpu._numba import compute_dtype, jit, put
from fastprep.kernels.cpu._pointwise import over_chunks


def look_up(x: npt.NDArray[Any], out: npt.NDArray[Any], first: float, table: npt.NDArray[np.float64]) -> None:
    """``x`` (...), ``out`` (1, ...), ``table`` (N,) at the numbers first, first + 1, ... NaN passes through."""
    dtype = compute_dtype(x, out)
    # One entry more, for the line that begins with the last.
    entries = np.append(table, table[-1]).astype(dtype)
    over_chunks(_look_up, x, out, (entries, dtype.type(first)))


@jit
def _look_up(x: Any, out: Any, given: Any) -> None:
    table, first = given
    zero, last, row = table.dtype.type(0), table.dtype.type(table.size - 2), out[0]
    for i in range(x.size):
        v = table.dtype.type(x[i]) - first
        at = v if v > zero else zero
        at = at if at < last else last
        j = np.int64(at)
        y = table[j] + (table[j + 1] - table[j]) * (at - table.dtype.type(j))
        put(row, i, y if v == v else v)
