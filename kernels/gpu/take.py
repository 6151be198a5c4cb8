"""Voxels copied by one index table per axis: reorient, flip, crop, pad, and nearest-neighbour labels."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from fastprep.core.device_view import DeviceView
from fastprep.kernels.gpu._launch import Launch, launch, tables
from fastprep.kernels.gpu._types import WORDS, bits, job

Index = tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], npt.NDArray[np.int64]]

#: A block is eight warps, each on a row of its own, 128 voxels long.
_ROWS, _LENGTH = 8, 128
#: Or a tile that is turned.
_TILE = 32
THREADS = 32 * _ROWS
INSTANCES = tuple(f"{kernel}<{word}>" for kernel in ("take", "take_turned") for word in WORDS.values())
_JOB = job("PP3P4qq3iiiiQ")


def take(x: DeviceView, out: DeviceView, index: Index, outside: float) -> None:
    """``out[b, z, y, x] = x[b, index[0][z], index[1][y], index[2][x]]``; where an index is -1, ``outside``.

    ``x`` (B, Z, Y, X) and ``out`` (B, z, y, x) of one dtype.
    """
    table = tables(out, *(i.astype(np.int32).tobytes() for i in index))
    batch, *shape = out.shape
    near = _near(x)
    if near is None:
        kernel, columns, tiles = "take", -(-shape[2] // _LENGTH), 0
        blocks = -(-(batch * shape[0] * shape[1]) // _ROWS) * columns
    else:
        kernel, columns, tiles = "take_turned", -(-shape[2] // _TILE), -(-shape[near] // _TILE)
        blocks = batch * shape[1 - near] * tiles * columns
    packed = _JOB.pack(
        x.address,
        out.address,
        *table.addresses,
        *x.strides,
        batch * shape[0] * shape[1],
        *shape,
        columns,
        near or 0,
        tiles,
        bits(outside, out.dtype),
    )
    name = f"{kernel}<{WORDS[out.dtype.itemsize]}>"
    launch(Launch("take", name, packed, blocks, THREADS, 0, x, out, (table,)))


def _near(x: DeviceView) -> int | None:
    """The axis, z or y, along which neighbours are neighbours in memory; None where that is x, or no axis."""
    if abs(x.strides[3]) == 1 or x.shape[3] == 1:
        return None
    return next((axis for axis in (0, 1) if abs(x.strides[axis + 1]) == 1 and x.shape[axis + 1] > 1), None)
