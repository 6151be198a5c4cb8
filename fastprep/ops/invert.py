"""invert: bright to dark and back."""

from __future__ import annotations

from typing import Any

from fastprep.core.checks import check_range
from fastprep.core.ramp import Ramp
from fastprep.ops._pointwise import apply_ramps


def invert(x: Any, value_range: tuple[float, float], *, dtype: Any = None) -> Any:
    """Mirror the grey scale: ``y = lo + hi - x``; its own inverse.

    Parameters
    ----------
    x : array of any shape.
    value_range : (lo, hi) of the scale, e.g. (0, 2**bits_stored - 1); never taken from the data.
    dtype : of the result; by default floats keep theirs and integers become float32.

    Returns
    -------
    An array of the library and on the device of ``x``. NaN stays NaN.

    Raises
    ------
    ArgumentError
        ``lo`` not below ``hi``.

    Examples
    --------
    A MONOCHROME1 radiograph of 12 bits, bone white again:

    >>> import numpy as np
    >>> invert(np.array([0, 4095], np.uint16), (0, 4095), dtype="uint16").tolist()
    [4095, 0]
    """
    return apply_ramps(x, [invert_ramp(value_range)], dtype=dtype)


def invert_ramp(value_range: tuple[float, float]) -> Ramp:
    """The Ramp of `invert`."""
    lo, hi = check_range(*value_range, name="value_range")
    return Ramp(-1.0, lo + hi)
