"""keep_largest: the largest connected components of a mask."""

from __future__ import annotations

from typing import Any

from fastprep.core.connectivity import check_connectivity
from fastprep.core.errors import ArgumentError
from fastprep.ops._masks import changed, masks_of


def keep_largest(mask: Any, count: int = 1, *, connectivity: int = 26) -> Any:
    """The ``count`` connected components of each mask that have the most voxels; all where there are not so many.

    Of components of equal size those whose first voxel comes first in C order.

    Parameters
    ----------
    mask : Image, or array (..., z, y, x) or (y, x), bool or integers; non-zero is set. Each volume by itself.
    count : at least 1.
    connectivity : neighbours of a voxel, as for `label`.

    Returns
    -------
    A bool array of the library and on the device of ``mask``; of an Image a label Image on its grid.

    Raises
    ------
    DTypeError
        A mask of floats.
    ArgumentError
        A count below 1, another connectivity.
    ShapeError
        An array of one axis, or with an axis of length zero.

    Examples
    --------
    Two lungs, and the air of the trachea:

    >>> import numpy as np
    >>> air = np.array([[1, 1, 0, 1, 0, 0, 1], [1, 1, 0, 0, 0, 1, 1]])
    >>> keep_largest(air, 2).astype(int).tolist()
    [[1, 1, 0, 0, 0, 0, 1], [1, 1, 0, 0, 0, 1, 1]]
    """
    if isinstance(count, bool) or not isinstance(count, int) or count < 1:
        msg = f"count={count!r}: expected a whole number of components, at least 1"
        raise ArgumentError(msg)
    masks = masks_of(mask)
    return changed("keep", masks, check_connectivity(connectivity, len(masks.space)), count, 0)
