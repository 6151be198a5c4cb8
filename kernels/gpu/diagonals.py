"""How strong the finest diagonal detail of a volume is: one launch."""

from __future__ import annotations

from fastprep.core.device_view import DeviceView
from fastprep.core.noise import DB2
from fastprep.kernels.gpu._launch import Launch, launch_alone
from fastprep.kernels.gpu._types import NUMBERS, job, read_type

THREADS = 256
INSTANCES = tuple(f"diagonals<{name}>" for name in NUMBERS)
_JOB = job("PP4q3qq3d3ii")


def diagonals(x: DeviceView, out: DeviceView) -> None:
    """``out`` (B, mz, my, mx): the size of the db2 detail of ``x`` (B, Z, Y, X), of every second window inside it.

    Axes along which ``out`` is as long as ``x`` take no part. Exactly 0 where ``x`` is constant along any other.
    """
    along = [m < n for m, n in zip(out.shape[1:], x.shape[1:], strict=True)]
    packed = _JOB.pack(x.address, out.address, *x.strides, *out.shape[1:], out.size, *DB2[1:], *along, 0)
    blocks = -(-out.size // THREADS)
    if blocks:
        run = Launch("diagonals", f"diagonals<{read_type(x.dtype)}>", packed, blocks, THREADS, 0, x, out)
        launch_alone(run, [x], [out])
