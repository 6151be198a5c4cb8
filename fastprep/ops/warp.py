"""warp: an array through any affine."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from fastprep.core.checks import check_order
from fastprep.core.index_map import IndexMap
from fastprep.ops._sample import sample


def warp(
    x: Any,
    matrix: npt.ArrayLike,
    shape: Sequence[int],
    *,
    order: int | str = "linear",
    fill: float | None = None,
    dtype: Any = None,
) -> Any:
    """Interpolate ``x`` at ``matrix @ p`` for every output index ``p``.

    Parameters
    ----------
    x : array (..., z, y, x) or (..., y, x); the last ``len(shape)`` axes are space.
    matrix : 4x4, output index (z, y, x, 1) to input index, any rotation, scale and shear. For 2-D, 3x3 or a 4x4 whose
        third row and column are the identity's.
    shape : of the output's space axes.
    order : "nearest", "linear", "cubic" or, for labels, "onehot"; see `fastprep.resample`.
    fill : beyond half a voxel outside the field of view; default 0. Pass -1024 for CT in HU.
    dtype : of the result; the rule of `fastprep.resample`.

    Returns
    -------
    An array of the library and on the device of ``x``.

    Raises
    ------
    GeometryError
        A matrix that is singular or not finite.
    ArgumentError, DTypeError, TooLargeError
        As `fastprep.resample`.

    Examples
    --------
    A quarter turn in the plane:

    >>> import numpy as np
    >>> turn = [[0, 1, 0], [-1, 0, 1], [0, 0, 1]]
    >>> warp(np.array([[1, 2], [3, 4]], np.uint8), turn, (2, 2), order="nearest").tolist()
    [[2, 4], [1, 3]]
    """
    index_map = IndexMap(tuple(shape), _four(np.asarray(matrix, dtype=np.float64), len(shape)))
    return sample(x, index_map, order=check_order(order), fill=0.0 if fill is None else fill, dtype=dtype)


def _four(matrix: npt.NDArray[np.float64], ndim: int) -> npt.NDArray[np.float64]:
    if ndim != 2 or matrix.shape != (3, 3):
        return matrix
    full = np.eye(4)
    full[np.ix_([0, 1, 3], [0, 1, 3])] = matrix
    return full
