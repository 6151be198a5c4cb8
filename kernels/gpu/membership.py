"""How much each voxel is of a class of values: each read once in its own dtype."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from fastprep.core.device_view import DeviceView
from fastprep.core.fuzzy import MOST_CLASSES, least_distance
from fastprep.kernels.gpu._bias import ANY, any_array
from fastprep.kernels.gpu._launch import Launch, launch_alone
from fastprep.kernels.gpu._types import job

THREADS = 256
_VOXELS = 1024
INSTANCES = ("membership",)
_JOB = job(f"{2 * ANY}d{MOST_CLASSES}d6iP")


def membership(x: DeviceView, mask: DeviceView, centers: npt.NDArray[np.float64], which: int, out: DeviceView) -> None:
    """``out = d^-2 / sum_j d_j^-2``, d the distance to the centre ``which``; 0 outside the mask: all (B, Z, Y, X)."""
    places = [*centers.tolist(), *[0.0] * (MOST_CLASSES - centers.size)]
    sizes = (centers.size, which, *x.shape)
    packed = _JOB.pack(*any_array(x), *any_array(mask), least_distance(centers) ** 2, *places, *sizes, out.address)
    blocks = -(-math.prod(x.shape) // _VOXELS)
    launch_alone(Launch("membership", "membership", packed, blocks, THREADS, 0, x, out), [x, mask], [out])
