"""fill_holes: a mask, and what it encloses."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from fastprep.core.connectivity import check_connectivity
from fastprep.ops._masks import changed, masks_of, voxel_volume, voxels_of


def fill_holes(
    mask: Any,
    *,
    max_volume_mm3: float | None = None,
    spacing: Sequence[float] | None = None,
    planar: bool = False,
    connectivity: int = 6,
) -> Any:
    """Each mask and its holes: the connected parts of what is not set that do not touch the border.

    An axis of one voxel has no border: a volume of one slice has the holes of its plane.

    Parameters
    ----------
    mask : Image, or array (..., z, y, x) or (y, x), bool or integers; non-zero is set. Each volume by itself.
    max_volume_mm3 : larger holes stay; None fills all. Of an image in the plane it is an area in mm2.
    spacing : millimetres in array-axis order, needed with ``max_volume_mm3``; an Image has its own.
    planar : each plane (y, x), one index of the first space axis, by itself: the axial slices of a scan as it is read.
        A body whose lungs or airways the first or last slice cuts open is closed in its slices.
    connectivity : neighbours of a voxel *that is not set*, as for `label`: by faces, the mask around a hole may touch
        at corners alone, as it does with a mask of 26 neighbours.

    Returns
    -------
    A bool array of the library and on the device of ``mask``; of an Image a label Image on its grid.

    Raises
    ------
    DTypeError
        A mask of floats.
    ArgumentError
        ``max_volume_mm3`` without a spacing or negative, another connectivity.
    GeometryError
        A spacing that is not positive, or not one number for each axis.
    ShapeError
        An array of one axis, or with an axis of length zero.

    Examples
    --------
    A body with a lung in it, and an armpit that is open to the air:

    >>> import numpy as np
    >>> body = np.array([[0, 1, 1, 1, 1, 0], [1, 1, 0, 0, 1, 1], [0, 0, 1, 1, 1, 1]])
    >>> fill_holes(body).astype(int).tolist()
    [[0, 1, 1, 1, 1, 0], [1, 1, 1, 1, 1, 1], [0, 0, 1, 1, 1, 1]]
    """
    masks = masks_of(mask)
    ndim = len(masks.space)
    near, largest = check_connectivity(connectivity, ndim), -1
    if max_volume_mm3 is not None:
        largest = voxels_of(max_volume_mm3, voxel_volume(mask, spacing, ndim), math.floor, "max_volume_mm3")
    return changed("fill", masks, near, bool(planar), largest)
