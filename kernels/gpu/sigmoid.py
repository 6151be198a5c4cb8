"""``out[k] = lo_k + (hi_k - lo_k) / (1 + exp(-(a_k * x + b_k)))``: DICOM's SIGMOID VOI function."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from fastprep.core.device_view import DeviceView
from fastprep.kernels.gpu._pointwise import THREADS as THREADS
from fastprep.kernels.gpu._pointwise import copy, of_ramps, pointwise
from fastprep.kernels.gpu._rare import common
from fastprep.kernels.gpu._types import pairs

INSTANCES = tuple(f"sigmoid<{i}, {o}>" for i, o in pairs())


def sigmoid(x: DeviceView, out: DeviceView, ramps: npt.NDArray[np.float64]) -> None:
    """``x`` (...), ``out`` (K, ...), ``ramps`` (K, 4) as (a, b, lo, hi)."""
    with common(x, out, copy) as (given, made):
        pointwise("sigmoid", given, made, of_ramps(ramps))
