"""``out``: the lines through the entries of a table, one for each whole number from ``first`` on; its ends beyond."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from fastprep.core.device_view import DeviceView
from fastprep.kernels.gpu._launch import merged, scratch, tables
from fastprep.kernels.gpu._pointwise import THREADS as THREADS
from fastprep.kernels.gpu._pointwise import Functions, copy, pointwise
from fastprep.kernels.gpu._types import NUMBERS, compute_type, job, pairs, read_type, written_type

#: Into what is computed in; a copy casts that to other types.
INSTANCES = tuple(f"look_up<{i}, {o}>" for i, o in pairs(NUMBERS, ("float32", "float64")) if compute_type(i, o) == o)
_TABLE = job("Pqd")
#: As in look_up.cu.
_SHARE = 2


def look_up(x: DeviceView, out: DeviceView, first: float, table: npt.NDArray[np.float64]) -> None:
    """``x`` (...), ``out`` (1, ...), ``table`` (N,) at the numbers first, first + 1, ... NaN passes through."""
    real = compute_type(read_type(x.dtype), written_type(out.dtype))
    there = tables(x, np.append(table, table[-1]).astype(real).tobytes())

    def functions(_: slice) -> Functions:
        return Functions(_TABLE.pack(*there.addresses, len(table), float(first)), (there,))

    with merged():
        made = out if written_type(out.dtype) == real else scratch(out, out.shape, real)
        pointwise("look_up", x, made, functions, _SHARE)
        if made is not out:
            copy(made, out, 1)
