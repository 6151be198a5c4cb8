"""foreground_mask: the head or body without the air around it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from fastprep.core.image import Image
from fastprep.core.ramp import Ramp
from fastprep.ops._arrays import empty, three, view_of, with_shape
from fastprep.ops._masked import masked_volumes, numbers_of
from fastprep.ops._pointwise import apply_ramps
from fastprep.ops.otsu import otsu_of
from fastprep.registry import kernel

_BINS = 256


def foreground_mask(x: Any) -> Any:
    """The largest connected part of ``x > otsu(x)``, its holes filled.

    Bright specks in the air are left out, and so is whatever does not touch the largest part, as a coil or a second
    limb. Dark parts that tissue encloses are filled, as ventricles and closed sinuses; an open mouth or nose, and the
    air of lungs that an image cuts through, are connected with the air outside and are not. Parts touch at faces, edges
    and corners, and air at faces; of two largest parts it is the one whose first voxel comes first. Of a 2-D image, or
    a volume of one slice, parts and holes are those of the plane.

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
    A head in air, with a ventricle, and a speck beside it:

    >>> import numpy as np
    >>> t1 = np.array([[1, 90, 95, 88, 2, 0], [0, 92, 9, 91, 1, 96], [2, 89, 94, 90, 3, 1]])
    >>> foreground_mask(t1).astype(int).tolist()
    [[0, 1, 1, 1, 0, 0], [0, 1, 1, 1, 0, 0], [0, 1, 1, 1, 0, 0]]
    """
    array, ndim = numbers_of(x)
    volumes = [volume for _, volume, _ in masked_volumes(array, None, ndim)]
    thresholds = [otsu_of(volume, None, _BINS) for volume in volumes]
    result = largest_above(array, thresholds, volumes[0].ndim)
    return replace(x.with_array(result), kind="label") if isinstance(x, Image) else result


def largest_above(x: Any, thresholds: Sequence[float], ndim: int) -> Any:
    """The mask of `foreground_mask` by given thresholds, one for each volume of ``x`` (..., space)."""
    view = view_of(x)
    out = empty(view.shape, "bool", x)
    cut = view.ndim - ndim
    for index, threshold in zip(np.ndindex(view.shape[:cut]), thresholds, strict=True):
        above(view[index], threshold, into=out.view[index])
    marks = with_shape(out.view, (len(thresholds), *three(view.shape[cut:])))
    kernel("keep", view)(marks, 3, 1, 0, marks)
    kernel("fill", view)(marks, 1, False, -1, marks)
    return out.finish()


def above(x: Any, threshold: float, *, into: Any = None) -> Any:
    """``x > threshold`` as a mask, exactly: a difference of floats is 0 only where they are equal."""
    dtype = view_of(x).dtype
    if dtype.itemsize <= 2 or dtype.name == "float32":
        # These are subtracted in float32: no value of theirs lies between the threshold and the next float32 below it.
        near = np.float32(threshold)
        threshold = float(near if float(near) <= threshold else np.nextafter(near, np.float32(-np.inf)))
    return apply_ramps(x, [Ramp(1.0, -threshold, 0.0, math.inf)], dtype="bool", into=into)
