"""flat_field: what every pixel of a detector does to the light it gets, undone."""

from __future__ import annotations

from typing import Any

from fastprep.core.checks import check_space
from fastprep.core.errors import DTypeError
from fastprep.core.image import Image
from fastprep.core.namespace import dtype_name
from fastprep.ops._arrays import empty, view_of, volumes, with_shape
from fastprep.ops._detector import as_levels, averaged, level_of, light, plain
from fastprep.registry import kernel


def flat_field(raw: Any, flat: Any, dark: Any = None, *, dtype: Any = None) -> Any:
    """Dark and flat-field correction of raw frames.

    ``y = (raw - dark) m / (flat - dark)`` with m the median of ``flat - dark``, so that counts stay counts. A pixel
    that sees no light, ``flat <= dark``, is 0: `fastprep.bad_pixels` finds it, `fastprep.mend_pixels` mends it.

    Parameters
    ----------
    raw : array (..., y, x) of raw counts, or a 2-D Image.
    flat : a frame (y, x) of an empty, evenly lit field, or a stack (n, y, x) of such, averaged in float64.
    dark : the same without any light; None is 0.
    dtype : of the result: float32, or an integer type, rounded half to even and saturated.

    Returns
    -------
    What ``raw`` was, on its device, float32 unless ``dtype`` asks otherwise; computed in float32. NaN stays NaN.

    Raises
    ------
    ShapeError
        A flat or a dark frame of another shape.
    NonFiniteError
        NaN or infinity in ``flat - dark``.
    ArgumentError
        A flat frame that is not brighter than the dark one.
    DTypeError
        Another ``dtype``.

    Notes
    -----
    J. A. Seibert, J. M. Boone, K. K. Lindfors, "Flat-field correction technique for digital detectors", SPIE 1998. A
    flat frame is of one tube voltage and one distance; the heel effect it holds goes with it.

    Examples
    --------
    Two columns of a detector, one of half the gain of the other, look at the same thing:

    >>> import numpy as np
    >>> flat = np.array([[1000, 500]], np.uint16)
    >>> flat_field(np.array([[400, 200]], np.uint16), flat).tolist()
    [[300.0, 300.0]]
    """
    array = plain(raw)
    view = view_of(array)
    name = "float32" if dtype is None else dtype_name(dtype, array)
    if name != "float32" and "int" not in name:
        msg = f"dtype={dtype!r}: expected float32 or an integer type"
        raise DTypeError(msg)
    _, space = check_space(tuple(view.shape), 2, name="raw")
    bright = averaged("flat", flat, space, array)
    less = None if dark is None else averaged("dark", dark, space, array)
    field = light(bright, less, array)
    gain = empty(tuple(field.shape), "float32", array).view
    kernel("reciprocal", array)(field, with_shape(gain, (1, *gain.shape)), as_levels(level_of(field)))
    out = empty(view.shape, name, array)
    below = None if less is None else with_shape(less.mean, (1, 1, *space))
    for given, made in volumes(view, with_shape(out.view, (1, *view.shape)), 2):
        kernel("flat_field", array)(given, below, gain, made[0])
    result = out.finish()
    return raw.with_array(result) if isinstance(raw, Image) else result
