"""Labels by one-hot linear interpolation: the label with the largest interpolated weight, the lowest on a tie."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from fastprep.core.device_view import DeviceView
from fastprep.kernels.gpu._launch import Launch, launch
from fastprep.kernels.gpu._types import bits, job

_LABELS = ("int8", "uint8", "int16", "uint16", "int32", "uint32", "int64", "uint64")
THREADS = 256
INSTANCES = tuple(f"onehot<{name}>" for name in _LABELS)
_JOB = job("PP4q3qq3i3i12dQ")


def onehot(x: DeviceView, out: DeviceView, matrix: npt.NDArray[np.float64], outside: float) -> None:
    """``out[b, p] = argmax_c linear(x[b] == c) at matrix @ p``.

    ``x`` (B, Z, Y, X) and ``out`` (B, z, y, x) of one dtype; outside the field of view, ``outside``.
    """
    name = "uint8" if out.dtype.kind == "b" else out.dtype.name
    packed = _JOB.pack(
        x.address,
        out.address,
        *x.strides,
        *out.strides[:3],
        out.size,
        *x.shape[1:],
        *out.shape[1:],
        *map(float, matrix[:3].ravel()),
        bits(outside, out.dtype),
    )
    # After what may have filled the output around its part of it.
    launch(Launch("onehot", f"onehot<{name}>", packed, -(-out.size // THREADS), THREADS, 0, x, out, stage=3))
