"""The ball of a radius in millimetres, as the rows of voxels it is made of."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

#: Of the squared radius, what is added to it: a voxel at a whole number of steps is in, whatever its sum's rounding.
_SLACK = 1e-6


def ball_rows(radius: float, spacing: Sequence[float], shape: Sequence[int]) -> npt.NDArray[np.int32]:
    """``(rz + 1, ry + 1)`` voxels that the ball reaches along x, to either side, in its row at (z, y); -1 where none.

    A voxel (z, y, x) of the ball has ``(z sz)^2 + (y sy)^2 + (x sx)^2 <= radius^2``. Rows at negative z and y are the
    same. What a volume of ``shape`` has no room for is left out.
    """
    limit = radius**2 * (1 + _SLACK)
    reach = [min(int(np.sqrt(limit) / step), n) for step, n in zip(spacing, shape, strict=True)]
    # An axis of which nothing is in reach may have steps of any size, infinite ones too.
    z, y = (np.arange(1, r + 1) * step for step, r in zip(spacing[:2], reach[:2], strict=True))
    z, y = np.insert(z, 0, 0.0), np.insert(y, 0, 0.0)
    left = limit - (z[:, None] ** 2 + y**2)
    rows = np.minimum(np.sqrt(np.maximum(left, 0.0)) / spacing[2], shape[2])
    return np.where(left < 0, -1, rows).astype(np.int32)


def row_offsets(rows: npt.NDArray[np.int32]) -> npt.NDArray[np.int32]:
    """``(K, 3)`` z, y and reach along x of every row of a ball, negative ones too, the longest first."""
    z, y = np.nonzero(rows >= 0)
    signs = np.array([(1, 1), (1, -1), (-1, 1), (-1, -1)])
    each = np.concatenate([np.stack([sz * z, sy * y, rows[z, y]], axis=1) for sz, sy in signs])
    each = np.unique(each, axis=0)
    # Of equal ones the nearest first: it is likely the one that decides.
    near = np.abs(each[:, 0]) + np.abs(each[:, 1])
    return each[np.lexsort((each[:, 1], each[:, 0], near, -each[:, 2]))].astype(np.int32)
