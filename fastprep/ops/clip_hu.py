"""clip_hu: Hounsfield units held in a range."""

from __future__ import annotations

from typing import Any

from fastprep.core.checks import check_range
from fastprep.core.ramp import Ramp
from fastprep.ops._pointwise import apply_ramps
from fastprep.ops.presets import CLIP_RANGES, find_preset


def clip_hu(x: Any, lo: float = -1000, hi: float = 1000, *, preset: str | None = None, dtype: Any = None) -> Any:
    """Hold every voxel in ``[lo, hi]``: ``y = min(max(x, lo), hi)``.

    Parameters
    ----------
    x : array of any shape, in HU.
    lo, hi : bounds in HU, both included.
    preset : "full" [-1000, 1000], "soft_tissue" [-200, 400], "bone" [-200, 3000] or "lung" [-1500, 600], instead of
        ``lo`` and ``hi``.
    dtype : of the result; by default floats keep theirs and integers become float32.

    Returns
    -------
    An array of the library and on the device of ``x``. NaN stays NaN.

    Raises
    ------
    ArgumentError
        ``lo`` not below ``hi``, or an unknown preset.

    Examples
    --------
    Metal and the padding around the field of view brought back to what tissue can be:

    >>> import numpy as np
    >>> clip_hu(np.array([-3024, -1000, 40, 4000], np.int16)).tolist()
    [-1000.0, -1000.0, 40.0, 1000.0]
    """
    return apply_ramps(x, [clip_ramp(lo, hi, preset)], dtype=dtype)


def clip_ramp(lo: float, hi: float, preset: str | None) -> Ramp:
    """The Ramp of `clip_hu`."""
    if preset is not None:
        lo, hi = find_preset(CLIP_RANGES, preset)
    lo, hi = check_range(lo, hi, name="(lo, hi)")
    return Ramp(lo=lo, hi=hi)
