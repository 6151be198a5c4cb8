"""robust: median 0 and interquartile range 1."""

from __future__ import annotations

from typing import Any

from fastprep.core.errors import ArgumentError
from fastprep.core.ramp import Ramp
from fastprep.ops._each import each_volume
from fastprep.ops._masked import quantiles_of


def robust(x: Any, *, mask: Any = None) -> Any:
    """Standardise each volume: ``y = (x - median) / (p75 - p25)``, quartiles those of the voxels inside ``mask``.

    A quarter of the voxels may be anything, lesions or spikes, before the scale moves far; a mean and a standard
    deviation move with each.

    Parameters
    ----------
    x : Image, or array (..., z, y, x) or (y, x); each volume by its own quartiles, between values by the line
        between neighbours, as NumPy's.
    mask : array or Image of the space axes of ``x``, or of its whole shape; non-zero is inside. None is everything,
        of which the air around a head is most: give a mask.

    Returns
    -------
    What ``x`` was, all of it standardised, outside the mask too: floats keep their type, integers become float32.

    Raises
    ------
    NonFiniteError
        NaN or infinity inside the mask.
    ArgumentError
        An empty mask, or half of the voxels inside it of one value, so that the interquartile range is 0.
    ShapeError
        A mask of another shape.
    DeviceError
        An image and a mask on different devices.

    Examples
    --------
    Grey and white matter, and a vessel that would have moved the mean:

    >>> import numpy as np
    >>> t1 = np.array([[88, 96, 128, 160, 900]], np.int16)
    >>> robust(t1).tolist()
    [[-0.625, -0.5, 0.0, 0.5, 12.0625]]
    """
    return each_volume(x, mask, lambda view, inside: robust_ramp(*robust_of(view, inside)))


def robust_of(view: Any, mask: Any) -> tuple[float, float, float]:
    """The quartiles of one volume: p25, median, p75."""
    p25, median, p75 = quantiles_of(view, mask, (0.25, 0.5, 0.75)).tolist()
    return p25, median, p75


def robust_ramp(p25: float, median: float, p75: float) -> Ramp:
    """The Ramp of `robust`.

    Raises
    ------
    ArgumentError
        An interquartile range of 0.
    """
    if not p75 > p25:
        msg = f"x has an interquartile range of 0, half of its voxels are {median:g}: expected values that differ"
        raise ArgumentError(msg)
    return Ramp(1 / (p75 - p25), -median / (p75 - p25))
