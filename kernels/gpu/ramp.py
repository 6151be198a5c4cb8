"""``out[k] = clip(a_k * x + b_k, lo_k, hi_k)``: each voxel read once in its own dtype, written once per channel."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from fastprep.core.device_view import DeviceView
from fastprep.kernels.gpu._pointwise import THREADS as THREADS
from fastprep.kernels.gpu._pointwise import of_ramps, pointwise
from fastprep.kernels.gpu._types import NUMBERS, RESULTS, pairs

#: Of every type: it is what copies for others.
INSTANCES = tuple(f"ramp<{i}, {o}>" for i, o in pairs(NUMBERS, RESULTS))


def ramp(x: DeviceView, out: DeviceView, ramps: npt.NDArray[np.float64]) -> None:
    """``x`` (...), ``out`` (K, ...), ``ramps`` (K, 4) as (a, b, lo, hi)."""
    pointwise("ramp", x, out, of_ramps(ramps))
