"""Count, mean, squared deviations and extremes of the voxels inside a mask, each read once.

The answer is Python numbers, so this waits for the device.
"""

from __future__ import annotations

import math

from fastprep.core.device_view import DeviceView
from fastprep.core.moments import Moments
from fastprep.kernels.gpu._chunks import BATCH, batch
from fastprep.kernels.gpu._chunks import THREADS as THREADS
from fastprep.kernels.gpu._compile import driver
from fastprep.kernels.gpu._launch import Launch, launch, scratch
from fastprep.kernels.gpu._types import NUMBERS, job, read_type

INSTANCES = (*(f"moments<{name}>" for name in NUMBERS), "merge<float64>", "merge<int64>")
_EXACT = ("int8", "uint8", "int16", "uint16")
_CHUNK = 64 * THREADS
_JOB, _MERGE = job(f"{BATCH}dd"), job("PPq")


def moments(x: DeviceView, mask: DeviceView | None, between: tuple[float, float] | None) -> list[Moments]:
    """Of each volume of ``x`` (B, Z, Y, X) where ``mask`` of that shape is not zero, everywhere without one.

    Of those values only that lie between two numbers, neither of them included.
    """
    volumes = len(x)
    if x.size == 0:
        return [Moments(0, math.nan, math.nan, math.nan, math.nan, 0)] * volumes
    name = read_type(x.dtype)
    kind = "int64" if name in _EXACT else "float64"
    chunks = -(-x[0].size // _CHUNK)
    fields = 6 if kind == "int64" else 7
    rows = scratch(x, (volumes, chunks, fields), kind)
    limits = between or (-math.inf, math.inf)
    packed = _JOB.pack(*batch(x, rows, mask, chunks), *limits)
    launch(Launch("moments", f"moments<{name}>", packed, volumes * chunks, THREADS, 0, x, rows))
    if chunks > 1:
        out = scratch(x, (volumes, 1, fields), kind)
        merged = _MERGE.pack(rows.address, out.address, chunks)
        launch(Launch("moments", f"merge<{kind}>", merged, volumes, THREADS, 0, rows, out))
        rows = out
    found = driver().read(rows)
    return [Moments.of_integers(row) if kind == "int64" else Moments.of_row(row[0]) for row in found]
