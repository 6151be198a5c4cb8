"""Voxels copied by one index table per axis: reorient, flip, crop, pad, and nearest-neighbour labels."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from fastprep.core.device_view import DeviceView
from fastprep.kernels.gpu._compile import Launch, launch, tables
from fastprep.kernels.gpu._types import WORDS, bits, job

Index = tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], npt.NDArray[np.int64]]

#: A block is eight warps, each on a row of its own, 128 voxels long.
_ROWS, _LENGTH = 8, 128
THREADS = 32 * _ROWS
INSTANCES = tuple(f"take<{word}>" for word in WORDS.values())
_JOB = job("PP3P4qq3iiQ")


def take(x: DeviceView, out: DeviceView, index: Index, outside: float) -> None:
    """``out[b, z, y, x] = x[b, index[0][z], index[1][y], index[2][x]]``; where an index is -1, ``outside``.

    ``x`` (B, Z, Y, X) and ``out`` (B, z, y, x) of one dtype.
    """
    table = tables(out, *(i.astype(np.int32).tobytes() for i in index))
    rows, columns = int(np.prod(out.shape[:3])), -(-out.shape[3] // _LENGTH)
    packed = _JOB.pack(
        x.address, out.address, *table.addresses, *x.strides, rows, *out.shape[1:], columns, bits(outside, out.dtype)
    )
    kernel = f"take<{WORDS[out.dtype.itemsize]}>"
    launch(Launch("take", kernel, packed, -(-rows // _ROWS) * columns, THREADS, 0, x, out, (table,)))
