"""Masks grown, or shrunk, by a ball: two launches, and a quarter byte a voxel beside the mask."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from fastprep.core.ball import row_offsets
from fastprep.core.device_view import DeviceView
from fastprep.kernels.gpu._launch import Launch, launch_alone, scratch, tables
from fastprep.kernels.gpu._types import job

THREADS = 256
INSTANCES = ("dilate_words", "dilate_rows")
_JOB = job("PPPP4qq4i3i3i")


def dilate(mask: DeviceView, ball: npt.NDArray[np.int32], complement: bool, beyond: bool, out: DeviceView) -> None:
    """``out`` where the ``ball`` around a voxel holds one that is set, of ``mask`` (B, Z, Y, X), bytes; may be that.

    With ``complement`` where it holds none that is not set: eroded. ``ball`` is that of `ball_rows`. What lies beyond
    the volume is neither; with ``beyond`` it is what makes the answer change, set or with ``complement`` not.
    """
    offsets = np.pad(row_offsets(ball), [(0, 0), (0, 1)])
    table = tables(mask, offsets.tobytes())
    rows, row_words = math.prod(mask.shape[:3]), -(-mask.shape[3] // 64)
    words = scratch(out, (rows * row_words, 2), "int64")
    reach = (ball.shape[0] - 1, ball.shape[1] - 1, int(ball[0, 0])) if beyond else (0, 0, 0)
    addresses = mask.address, out.address, words.address, table.addresses[0]
    packed = _JOB.pack(*addresses, *mask.strides, rows, *mask.shape, *reach, len(offsets), row_words, complement)
    each = (("dilate_words", rows * 32, mask, words), ("dilate_rows", rows * row_words, words, out))
    for name, threads, reads, writes in each:
        run = Launch("dilate", name, packed, -(-threads // THREADS), THREADS, 0, mask, out, (table,))
        launch_alone(run, [reads], [writes])
