"""What the pointwise operations share: one read, one Ramp (or logistic) per channel, one write."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from fastprep.core.checks import float_for
from fastprep.core.namespace import dtype_name
from fastprep.core.ramp import Ramp
from fastprep.ops._arrays import empty, view_of, with_shape
from fastprep.registry import kernel, recorded, replay


def apply_ramps(
    x: Any,
    ramps: Sequence[Ramp],
    *,
    dtype: Any = None,
    channels: bool = False,
    function: str = "ramp",
    into: Any = None,
) -> Any:
    """``x`` (...) through each Ramp: the array itself, or (K, ...) with ``channels``.

    ``function`` is the kernel: "ramp", or "sigmoid" whose Ramp is the exponent and whose bounds are the output's.
    ``into`` takes the result instead of a new array.
    """
    run = kernel(function, x)
    view = view_of(x)
    name = float_for(view.dtype) if dtype is None else dtype_name(dtype, x)
    out = empty((len(ramps), *view.shape) if channels else view.shape, name, x, into)
    key = (function, tuple(ramps))
    if not view.size or replay(key, view, out.view):
        return out.finish()
    with recorded(key, view, out.view):
        table = np.array([r.to_tuple() for r in ramps], dtype=np.float64)
        shape = view.shape or (1,)
        run(with_shape(view, shape), with_shape(out.view, (len(ramps), *shape)), table)
    return out.finish()
