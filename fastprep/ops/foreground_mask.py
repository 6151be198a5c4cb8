"""foreground_mask: what is brighter than the air around it."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np

from fastprep.core.image import Image
from fastprep.core.ramp import Ramp
from fastprep.ops._arrays import empty, view_of
from fastprep.ops._masked import masked_volumes, numbers_of
from fastprep.ops._pointwise import apply_ramps
from fastprep.ops.otsu import otsu_of

_BINS = 256


def foreground_mask(x: Any) -> Any:
    """``x > otsu(x)``, voxel by voxel.

    Bright specks in the air and dark parts within the head, as air in sinuses, are what the threshold makes of them.

    Parameters
    ----------
    x : Image, or array (..., z, y, x) or (y, x); each volume by its own threshold of 256 bins.

    Returns
    -------
    A bool array of the library and on the device of ``x``; of an Image a label Image on its grid.

    Raises
    ------
    NonFiniteError
        NaN or infinity.
    ArgumentError
        One value only.

    Examples
    --------
    A head in air:

    >>> import numpy as np
    >>> foreground_mask(np.array([[1, 0, 2, 1], [3, 90, 120, 2]])).astype(int).tolist()
    [[0, 0, 0, 0], [0, 1, 1, 0]]
    """
    array, ndim = numbers_of(x)
    out = empty(view_of(array).shape, "bool", array)
    for index, volume, _ in masked_volumes(array, None, ndim):
        above(volume, otsu_of(volume, None, _BINS), into=out.view[index])
    result = out.finish()
    return replace(x.with_array(result), kind="label") if isinstance(x, Image) else result


def above(x: Any, threshold: float, *, into: Any = None) -> Any:
    """``x > threshold`` as a mask, exactly: a difference of floats is 0 only where they are equal."""
    dtype = view_of(x).dtype
    if dtype.itemsize <= 2 or dtype.name == "float32":
        # These are subtracted in float32: no value of theirs lies between the threshold and the next float32 below it.
        near = np.float32(threshold)
        threshold = float(near if float(near) <= threshold else np.nextafter(near, np.float32(-np.inf)))
    return apply_ramps(x, [Ramp(1.0, -threshold, 0.0, math.inf)], dtype="bool", into=into)
