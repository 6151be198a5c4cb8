"""remove_small: a mask without its specks."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from fastprep.core.connectivity import check_connectivity
from fastprep.ops._masks import changed, masks_of, voxel_volume, voxels_of


def remove_small(
    mask: Any, min_volume_mm3: float, *, spacing: Sequence[float] | None = None, connectivity: int = 26
) -> Any:
    """The connected components of each mask that have at least ``min_volume_mm3``.

    Parameters
    ----------
    mask : Image, or array (..., z, y, x) or (y, x), bool or integers; non-zero is set. Each volume by itself.
    min_volume_mm3 : the smallest volume that is kept; of an image in the plane it is an area in mm2.
    spacing : millimetres in array-axis order; an Image has its own.
    connectivity : neighbours of a voxel, as for `label`.

    Returns
    -------
    A bool array of the library and on the device of ``mask``; of an Image a label Image on its grid.

    Raises
    ------
    DTypeError
        A mask of floats.
    ArgumentError
        No spacing, a negative volume, another connectivity.
    GeometryError
        A spacing that is not positive, or not one number for each axis.
    ShapeError
        An array of one axis, or with an axis of length zero.

    Examples
    --------
    Noise of one voxel, 0.5 mm3, beside a calcification of three:

    >>> import numpy as np
    >>> bright = np.array([[[1, 1, 0, 0], [1, 0, 0, 1]]])
    >>> remove_small(bright, 1.0, spacing=(2, 0.5, 0.5)).astype(int).tolist()
    [[[1, 1, 0, 0], [1, 0, 0, 0]]]
    """
    masks = masks_of(mask)
    near = check_connectivity(connectivity, len(masks.space))
    voxel = voxel_volume(mask, spacing, len(masks.space))
    return changed("keep", masks, near, -1, voxels_of(min_volume_mm3, voxel, math.ceil, "min_volume_mm3"))
