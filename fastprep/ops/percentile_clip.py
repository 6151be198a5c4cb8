"""percentile_clip: the rare extremes of an image held at its own percentiles."""

from __future__ import annotations

from typing import Any

from fastprep.core.checks import check_range
from fastprep.core.errors import ArgumentError
from fastprep.core.ramp import Ramp
from fastprep.ops._each import each_volume
from fastprep.ops._masked import quantiles_of


def percentile_clip(
    x: Any,
    low: float = 0.5,
    high: float = 99.5,
    *,
    mask: Any = None,
    out_range: tuple[float, float] | None = None,
    dtype: Any = None,
) -> Any:
    """Clip each volume to its own percentiles: ``y = min(max(x, p_low), p_high)``, those of the voxels inside ``mask``.

    With ``out_range`` the clipped values are then stretched: p_low to its first number, p_high to its second.

    Parameters
    ----------
    x : Image, or array (..., z, y, x) or (y, x); each volume by its own percentiles, between values by the line
        between neighbours, as NumPy's.
    low, high : percentiles, from 0 to 100, the first below the second.
    mask : array or Image of the space axes of ``x``, or of its whole shape; non-zero is inside. None is everything.
    out_range : (lo, hi), or None to keep the units.
    dtype : of the result; integers round half to even and saturate.

    Returns
    -------
    What ``x`` was, all of it clipped, outside the mask too: floats keep their type, integers become float32 unless
    ``dtype`` asks otherwise.

    Raises
    ------
    NonFiniteError
        NaN or infinity inside the mask.
    ArgumentError
        An empty mask, percentiles out of order, or an ``out_range`` that does not increase or that two equal
        percentiles cannot be stretched to.
    ShapeError
        A mask of another shape.
    DeviceError
        An image and a mask on different devices.

    Examples
    --------
    Soft tissue and one bright clip in it:

    >>> import numpy as np
    >>> percentile_clip(np.array([[10, 20, 30, 40, 50, 3000]]), 0, 80, out_range=(0, 100)).tolist()
    [[0.0, 25.0, 50.0, 75.0, 100.0, 100.0]]
    """
    check_percentiles(low, high)
    ends = None if out_range is None else check_range(*out_range, name="out_range")
    return each_volume(
        x,
        mask,
        lambda view, inside: percentile_clip_ramp(*percentile_clip_of(view, inside, low, high), ends),
        dtype,
    )


def check_percentiles(low: float, high: float) -> None:
    """Two percentiles, the first below the second."""
    if not 0 <= low < high <= 100:
        msg = f"low={low}, high={high}: expected percentiles from 0 to 100, the first below the second"
        raise ArgumentError(msg)


def percentile_clip_of(view: Any, mask: Any, low: float, high: float) -> tuple[float, float]:
    """The two percentiles of one volume."""
    p_low, p_high = quantiles_of(view, mask, (low / 100, high / 100)).tolist()
    return p_low, p_high


def percentile_clip_ramp(p_low: float, p_high: float, out_range: tuple[float, float] | None = None) -> Ramp:
    """The Ramp of `percentile_clip`.

    Raises
    ------
    ArgumentError
        Equal percentiles, which an ``out_range`` cannot be stretched between.
    """
    if out_range is None:
        return Ramp(lo=p_low, hi=p_high)
    if not p_high > p_low:
        msg = f"both percentiles of x are {p_low:g}: expected values that differ for out_range={out_range}"
        raise ArgumentError(msg)
    return Ramp.between((p_low, p_high), out_range)
