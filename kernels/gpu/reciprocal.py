"""``out[k] = level_k / x`` where x is above 0, else 0: each pixel read once."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from fastprep.core.device_view import DeviceView
from fastprep.kernels.gpu._pointwise import THREADS as THREADS
from fastprep.kernels.gpu._pointwise import of_ramps, pointwise

INSTANCES = ("reciprocal<float32, float32>",)


def reciprocal(x: DeviceView, out: DeviceView, levels: npt.NDArray[np.float64]) -> None:
    """``x`` (...) and ``out`` (K, ...) float32, ``levels`` (K,)."""
    ramps = np.zeros((len(levels), 4))
    ramps[:, 0] = levels
    pointwise("reciprocal", x, out, of_ramps(ramps))
