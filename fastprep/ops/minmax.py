"""minmax: the smallest and the largest value to the ends of a range."""

from __future__ import annotations

from typing import Any

from fastprep.core.checks import check_range
from fastprep.core.ramp import Ramp
from fastprep.ops._each import each_volume
from fastprep.ops._masked import spread_of


def minmax(
    x: Any, *, mask: Any = None, out_range: tuple[float, float] = (0, 1), clip: bool = True, dtype: Any = None
) -> Any:
    """Stretch each volume: ``y = lo + (hi - lo) (x - min) / (max - min)``, min and max those inside ``mask``.

    One bright vessel or one spike of noise decides the maximum: `percentile_clip` is the robust form.

    Parameters
    ----------
    x : Image, or array (..., z, y, x) or (y, x); each volume by its own extremes.
    mask : array or Image of the space axes of ``x``, or of its whole shape; non-zero is inside. None is everything.
    out_range : (lo, hi).
    clip : hold what is outside the mask, and beyond its extremes, in ``out_range``; else the line goes on.
    dtype : of the result; integers round half to even and saturate.

    Returns
    -------
    What ``x`` was, all of it mapped, outside the mask too: floats keep their type, integers become float32 unless
    ``dtype`` asks otherwise.

    Raises
    ------
    NonFiniteError
        NaN or infinity inside the mask.
    ArgumentError
        An empty mask, one value only inside it, or an ``out_range`` that does not increase.
    ShapeError
        A mask of another shape.
    DeviceError
        An image and a mask on different devices.

    Examples
    --------
    A radiograph of 12 bits as a picture of 8:

    >>> import numpy as np
    >>> minmax(np.array([[96, 1061], [2026, 3956]]), out_range=(0, 255), dtype="uint8").tolist()
    [[0, 64], [128, 255]]
    """
    ends = check_range(*out_range, name="out_range")
    return each_volume(x, mask, lambda view, inside: minmax_ramp(*minmax_of(view, inside), ends, clip=clip), dtype)


def minmax_of(view: Any, mask: Any) -> tuple[float, float]:
    """The extremes of one volume."""
    found = spread_of(view, mask)
    return found.low, found.high


def minmax_ramp(low: float, high: float, out_range: tuple[float, float] = (0, 1), *, clip: bool = True) -> Ramp:
    """The Ramp of `minmax`."""
    return Ramp.between((low, high), out_range, clip=clip)
