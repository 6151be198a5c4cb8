"""The bilateral filter: one launch."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from fastprep.core.device_view import DeviceView
from fastprep.kernels.gpu._launch import Launch, launch_alone, tables
from fastprep.kernels.gpu._staged import narrowed, widened
from fastprep.kernels.gpu._types import compute_type, job, read_type

THREADS = 256
INSTANCES = ("bilateral<float32>", "bilateral<float64>")
_LARGEST = float(np.finfo(np.float32).max)
_JOB = job("PPP3q3qf3i2i")


def bilateral(x: DeviceView, out: DeviceView, reach: tuple[int, ...], near: npt.NDArray[Any], scale: float) -> None:
    """``out = x(p) + sum w d / sum w``, ``w = near exp(-scale d^2)``, d = x(q) - x(p), q up to ``reach`` away from p.

    All (B, Z, Y, X), ``near`` (2 r + 1, ...) of each axis; a window ends at the border.
    """
    if out.size == 0:
        return
    planes, rows = (2, 4) if x.shape[1] > 1 else (1, 8)
    cut = -(-x.shape[1] // planes), -(-x.shape[2] // rows), -(-x.shape[3] // 32)
    table = tables(x, np.ascontiguousarray(near, np.float32).tobytes())
    # Differences of what float32 does not hold are taken before they are rounded.
    real = compute_type(read_type(x.dtype))
    given = widened(x, real)
    with narrowed(out, real) as made:
        packed = _JOB.pack(
            *(given.address, made.address, *table.addresses, *x.shape[1:], *cut),
            *(min(scale, _LARGEST), *reach, planes, rows),
        )
        run = Launch(
            "bilateral", f"bilateral<{real}>", packed, len(x) * math.prod(cut), THREADS, 0, given, made, (table,)
        )
        launch_alone(run, [given], [made])
