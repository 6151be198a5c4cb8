"""What the pointwise operations share: one read, one Ramp (or logistic) per channel, one write."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from fastprep.core.checks import check_memory, float_for
from fastprep.core.namespace import dtype_name, host_view, like
from fastprep.core.ramp import Ramp
from fastprep.registry import kernel


def apply_ramps(
    x: Any, ramps: Sequence[Ramp], *, dtype: Any = None, channels: bool = False, function: str = "ramp"
) -> Any:
    """``x`` (...) through each Ramp: the array itself, or (K, ...) with ``channels``.

    ``function`` is the kernel: "ramp", or "sigmoid" whose Ramp is the exponent and whose bounds are the output's.
    """
    run = kernel(function, x)
    view = host_view(x)
    name = float_for(view.dtype) if dtype is None else dtype_name(dtype)
    shape = (len(ramps), *view.shape)
    check_memory(shape, name)
    out = np.empty(shape, dtype=name)
    if view.size:
        table = np.array([r.to_tuple() for r in ramps], dtype=np.float64)
        run(view if view.ndim else view.reshape(1), out if view.ndim else out.reshape(len(ramps), 1), table)
    # The dots keep the result of a single number an array.
    return like(out if channels else out[0, ...], x)
