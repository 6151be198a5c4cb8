"""``out[k]``: the lines through the knots ``(xs[k], ys[k])``, the first and the last going on beyond."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from fastprep.core.device_view import DeviceView
from fastprep.core.piecewise import MOST_KNOTS, segments
from fastprep.kernels.gpu._launch import tables
from fastprep.kernels.gpu._pointwise import THREADS as THREADS
from fastprep.kernels.gpu._pointwise import Functions, copy, pointwise
from fastprep.kernels.gpu._rare import common
from fastprep.kernels.gpu._types import compute_type, job, pairs, read_type, written_type

INSTANCES = tuple(f"piecewise<{i}, {o}>" for i, o in pairs())
_LINES = job("P")
#: As in piecewise.cu.
_SHARE = 2


def piecewise(x: DeviceView, out: DeviceView, xs: npt.NDArray[np.float64], ys: npt.NDArray[np.float64]) -> None:
    """``x`` (...), ``out`` (K, ...), ``xs`` and ``ys`` (K, P), ``xs`` increasing, NaN after a table's last knot."""
    starts, values, slopes, ends = segments(xs, ys, compute_type(read_type(x.dtype), written_type(out.dtype)))
    empty = ((0, 0), (0, MOST_KNOTS - xs.shape[1]))
    parts = (np.pad(starts, empty, constant_values=np.nan), np.pad(values, empty), np.pad(slopes, empty), ends)
    lines = np.concatenate(parts, axis=1)

    def functions(channels: slice) -> Functions:
        table = tables(x, lines[channels].tobytes())
        return Functions(_LINES.pack(*table.addresses), (table,))

    with common(x, out, copy) as (given, made):
        pointwise("piecewise", given, made, functions, _SHARE)
