"""A volume where it counts and zero elsewhere, and how much each voxel counts."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from fastprep.core.device_view import DeviceView
from fastprep.kernels.gpu._bias import ANY, any_array, zeros
from fastprep.kernels.gpu._compile import driver
from fastprep.kernels.gpu._launch import Launch, launch_alone
from fastprep.kernels.gpu._types import job

THREADS = 256
_VOXELS = 1024
INSTANCES = ("masked",)
_JOB = job(f"{3 * ANY}dii4iPPP")


def masked(
    x: DeviceView,
    mask: DeviceView | None,
    weights: DeviceView | None,
    label: float | None,
    logarithm: bool,
    values: DeviceView,
    shares: DeviceView,
    counted: Callable[[npt.NDArray[np.int64]], None],
) -> None:
    """``values`` = share times x, or times its logarithm; ``shares`` = weight inside, 0 outside: all (B, Z, Y, X).

    Mask, weights, label and ``counted`` are those of `n4`; voxels not above 0 do not count either.
    """
    found = zeros(x, 2 * x.shape[0])
    packed = _JOB.pack(
        *any_array(x),
        *any_array(mask),
        *any_array(weights),
        0.0 if label is None else float(label),
        label is not None,
        logarithm,
        *x.shape,
        values.address,
        shares.address,
        found.address,
    )
    blocks = x.shape[0] * -(-math.prod(x.shape[1:]) // _VOXELS)
    given = [view for view in (x, mask, weights) if view is not None]
    run = Launch("masked", "masked", packed, blocks, THREADS, 0, x, values)
    launch_alone(run, given, [values, shares, found])
    counted(driver().read(found).view(np.int64).reshape(-1, 2))
