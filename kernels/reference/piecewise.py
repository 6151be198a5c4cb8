"""``out[k]``: the lines through the knots ``(xs[k], ys[k])``, the first and the last going on beyond."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from fastprep.core.piecewise import evaluate
from fastprep.kernels.reference._store import store


def piecewise(
    x: npt.NDArray[Any], out: npt.NDArray[Any], xs: npt.NDArray[np.float64], ys: npt.NDArray[np.float64]
) -> None:
    """``x`` (...), ``out`` (K, ...), ``xs`` and ``ys`` (K, P), ``xs`` increasing, NaN after a table's last knot."""
    for k in range(len(xs)):
        store(out[k], evaluate(x, xs[k], ys[k]))
