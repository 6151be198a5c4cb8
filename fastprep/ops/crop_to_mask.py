"""crop_to_mask: the box around what matters."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from fastprep.core.errors import ArgumentError, ShapeError
from fastprep.core.image import Image
from fastprep.core.index_map import IndexMap
from fastprep.core.namespace import check_together, shape_of
from fastprep.ops._arrays import three, view_of, with_shape
from fastprep.ops._sample import sample_image
from fastprep.registry import kernel


def crop_to_mask(x: Any, mask: Any, *, margin: int | Sequence[int] = 0) -> Any:
    """Cut to the smallest box that holds every non-zero voxel of ``mask``, and ``margin`` voxels around it.

    Parameters
    ----------
    x : Image, or array whose last axes are the mask's.
    mask : array (z, y, x) or (y, x), or an Image of that shape; non-zero is inside.
    margin : voxels added on each side, one number or one per space axis; never beyond the image.

    Returns
    -------
    What ``x`` was, of the same dtype; an Image keeps every voxel at its world position.

    Raises
    ------
    ShapeError
        A mask of another shape.
    ArgumentError
        An empty mask, or a negative margin.
    DeviceError
        An image and a mask on different devices.

    Examples
    --------
    >>> import numpy as np
    >>> x = np.arange(16).reshape(4, 4)
    >>> crop_to_mask(x, (x == 5) | (x == 10)).tolist()
    [[5, 6], [9, 10]]
    """
    marks = mask.array if isinstance(mask, Image) else mask
    space = shape_of(marks)
    have = x.grid.shape if isinstance(x, Image) else shape_of(x)[-len(space) :]
    if len(space) not in (2, 3) or have != space:
        msg = f"mask of shape {space}: expected the space axes {have} of x"
        raise ShapeError(msg)
    check_together(x=x.array if isinstance(x, Image) else x, mask=marks)
    around = (margin,) * len(space) if isinstance(margin, int) else tuple(margin)
    if len(around) != len(space) or any(m < 0 for m in around):
        msg = f"margin={margin}: expected one number of voxels, or {len(space)}, none negative"
        raise ArgumentError(msg)
    return sample_image(x, crop_around(marks, around), order=0)


def crop_around(marks: Any, margin: Sequence[int]) -> IndexMap:
    """The smallest box that holds every non-zero voxel of a mask, and voxels around it, within the image.

    Raises
    ------
    ArgumentError
        An empty mask.
    """
    space = shape_of(marks)
    box = kernel("bounds", marks)(with_shape(view_of(marks), three(space)))[-len(space) :]
    if not box.any():
        msg = "mask holds no voxel: there is nothing to crop to"
        raise ArgumentError(msg)
    start, stop = np.maximum(box[:, 0] - margin, 0), np.minimum(box[:, 1] + margin, space)
    return IndexMap.crop(start.tolist(), stop.tolist())
