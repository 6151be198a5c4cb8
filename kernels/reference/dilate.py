"""Masks grown, or shrunk, by a ball."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import scipy.ndimage as ndi

from fastprep.core.ball import row_offsets


def dilate(
    mask: npt.NDArray[Any],
    ball: npt.NDArray[np.int32],
    complement: bool,
    beyond: bool,
    out: npt.NDArray[np.bool_],
) -> None:
    """``out`` where the ``ball`` around a voxel holds one that is set, of ``mask`` (B, Z, Y, X), bytes; may be that.

    With ``complement`` where it holds none that is not set: eroded. ``ball`` is that of `ball_rows`. What lies beyond
    the volume is neither; with ``beyond`` it is what makes the answer change, set or with ``complement`` not.
    """
    reach = (ball.shape[0] - 1, ball.shape[1] - 1, int(ball[0, 0]))
    grown = np.zeros(mask.shape, np.bool_)
    nz, ny, nx = mask.shape[1:]
    marks = np.pad((mask != 0) != complement, [(0, 0), *((r, r) for r in reach)], constant_values=beyond)
    offsets = row_offsets(ball)
    for width in np.unique(offsets[:, 2]):
        wide = ndi.maximum_filter1d(marks.view(np.uint8), 2 * width + 1, axis=-1).view(np.bool_)
        for z, y, _ in offsets[offsets[:, 2] == width] + (*reach[:2], 0):
            grown |= wide[:, z : z + nz, y : y + ny, reach[2] : reach[2] + nx]
    out[...] = grown != complement
