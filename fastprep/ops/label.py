"""label: the connected components of a mask, numbered."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from fastprep.core.connectivity import check_connectivity
from fastprep.ops._arrays import empty
from fastprep.ops._masks import masks_of
from fastprep.registry import kernel

#: Volumes of fewer voxels have labels that an int32 holds.
_NARROW = 2**31


def label(mask: Any, *, connectivity: int = 26) -> tuple[Any, Any]:
    """Number the connected components of each mask from 1, in the C order of their first voxels; 0 is the rest.

    Two voxels that are set are of one component where a chain of neighbours leads from one to the other. Labels are
    those of ``scipy.ndimage.label``.

    Parameters
    ----------
    mask : Image, or array (..., z, y, x) or (y, x), bool or integers; non-zero is set. Each volume by itself.
    connectivity : neighbours of a voxel: 6 by faces, 18 by edges too, 26 by corners too, or 1, 2, 3. In an image 4, 8,
        or 1, 2; it is a volume of one slice, whose 26 are 8.

    Returns
    -------
    (labels, count) : int32, int64 of a volume of 2^31 voxels or more, of the library and on the device of ``mask``; of
        an Image a label Image on its grid. The number of components is an int, of a batch a NumPy array of its shape.

    Raises
    ------
    DTypeError
        A mask of floats.
    ArgumentError
        Another connectivity.
    ShapeError
        An array of one axis, or with an axis of length zero.

    Notes
    -----
    Runs of voxels in a row are united by their smallest number (He, Chao, Suzuki 2008).

    Examples
    --------
    Two coils in a slice of CT, of which one has come apart into parts that touch at a corner:

    >>> import numpy as np
    >>> hu = np.array([[3071, 3071, 0, 0, 3000], [40, 40, 2900, 0, 3071]])
    >>> labels, count = label(hu > 2500)
    >>> labels.tolist(), count
    ([[1, 1, 0, 0, 2], [0, 0, 1, 0, 2]], 2)
    >>> label(hu > 2500, connectivity=4)[1]
    3
    """
    masks = masks_of(mask)
    near = check_connectivity(connectivity, len(masks.space))
    out = empty(masks.bytes.shape, "int32" if math.prod(masks.space) < _NARROW else "int64", masks.array)
    run = kernel("label", masks.array)
    counts = [count for marks, result in masks.pairs(out) for count in run(marks, near, result)]
    labels = masks.wrapped(out.finish())
    return labels, np.array(counts, np.int64).reshape(masks.leading) if masks.leading else counts[0]
