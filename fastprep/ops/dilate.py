"""dilate: a mask grown by millimetres."""

from __future__ import annotations

from typing import Any

from fastprep.ops._morphology import changed, check_radius, grow


def dilate(mask: Any, radius: float, *, spacing: Any = None) -> Any:
    """Every voxel whose centre lies within ``radius`` mm of that of a voxel of ``mask``.

    ``out(p) = max over q of mask(q), sum_i (s_i (p_i - q_i))^2 <= radius^2``: a ball in space, whatever the voxels'
    shape, so that a margin of 10 mm is one along every axis. Of voxels of 5 mm across slices and a radius of 3 mm no
    slice gets any from another. Nothing lies beyond the image.

    Parameters
    ----------
    mask : Image, or array (..., z, y, x) or (y, x) of bool or integers; non-zero is set.
    radius : in mm; 0 changes nothing.
    spacing : mm along the space axes, which are the last of an array; an Image has its own.

    Returns
    -------
    A bool array of the library and on the device of ``mask``; of an Image a label Image on its grid.

    Raises
    ------
    ArgumentError
        A radius below 0, NaN or infinite; an array without spacing.
    DTypeError
        A mask of floats.

    Examples
    --------
    A tumour with a margin of 2 mm, in voxels of 1 by 2 mm:

    >>> import numpy as np
    >>> tumour = np.zeros((5, 5), bool)
    >>> tumour[2, 2] = True
    >>> dilate(tumour, 2, spacing=(1, 2)).astype(int).tolist()
    [[0, 0, 1, 0, 0], [0, 0, 1, 0, 0], [0, 1, 1, 1, 0], [0, 0, 1, 0, 0], [0, 0, 1, 0, 0]]
    """
    r = check_radius(radius)
    return changed(mask, spacing, lambda marks, out, steps: grow(marks, out, r, steps))
