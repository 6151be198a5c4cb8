"""window: a display window, as DICOM defines it."""

from __future__ import annotations

from typing import Any

from fastprep.core.checks import check_range
from fastprep.core.errors import ArgumentError
from fastprep.core.ramp import Ramp
from fastprep.core.window import FUNCTIONS, kernel_of, ramp_of
from fastprep.ops._pointwise import apply_ramps
from fastprep.ops.presets import WINDOWS, find_preset


def window(
    x: Any,
    level: float | None = None,
    width: float | None = None,
    *,
    preset: str | None = None,
    function: str = "linear_exact",
    out_range: tuple[float, float] = (0, 1),
    dtype: Any = "float32",
) -> Any:
    """Map the window of ``width`` around ``level`` onto ``out_range``; beyond it the ends are held.

    With c = level, w = width and out_range = (lo, hi) (DICOM PS3.3 C.11.2.1.2 and C.11.2.1.3):

    - ``linear_exact``: ``y = ((x - c) / w + 0.5) (hi - lo) + lo``, held in [lo, hi];
    - ``linear``: ``y = ((x - (c - 0.5)) / (w - 1) + 0.5) (hi - lo) + lo``, held in [lo, hi], w >= 1;
    - ``sigmoid``: ``y = lo + (hi - lo) / (1 + exp(-4 (x - c) / w))``.

    Parameters
    ----------
    x : array of any shape, in HU for the presets.
    level, width : centre and width in the units of ``x``.
    preset : "lung" -600/1500, "mediastinum" 50/350, "soft_tissue" 40/400, "bone" 400/1800 or "brain" 40/80,
        instead of ``level`` and ``width``.
    dtype : of the result; integers are rounded half to even and saturate.

    Returns
    -------
    An array of the library and on the device of ``x``. NaN stays NaN.

    Raises
    ------
    ArgumentError
        Neither or both of preset and level/width; width not above 0 (``linear``: below 1); unknown names.

    Examples
    --------
    A brain window as a radiologist sets it, 40/80:

    >>> import numpy as np
    >>> window(np.array([0.0, 40.0, 80.0, 1000.0]), preset="brain").tolist()
    [0.0, 0.5, 1.0, 1.0]
    """
    ramp = window_ramp(level, width, preset, function, out_range)
    return apply_ramps(x, [ramp], dtype=dtype, function=kernel_of(function))


def window_ramp(
    level: float | None, width: float | None, preset: str | None, function: str, out_range: tuple[float, float]
) -> Ramp:
    """The Ramp of `window`; for "sigmoid" the Ramp of its exponent, bounded by the output's range."""
    if function not in FUNCTIONS:
        msg = f"function={function!r}: expected one of {', '.join(FUNCTIONS)}"
        raise ArgumentError(msg)
    c, w = _level_and_width(level, width, preset)
    return ramp_of(c, w, function, check_range(*out_range, name="out_range"))


def _level_and_width(level: float | None, width: float | None, preset: str | None) -> tuple[float, float]:
    if preset is not None:
        if level is not None or width is not None:
            msg = f"preset={preset!r} with level={level} and width={width}: expected either, not both"
            raise ArgumentError(msg)
        return find_preset(WINDOWS, preset)
    if level is None or width is None:
        msg = f"level={level}, width={width}: expected both, or a preset ({', '.join(WINDOWS)})"
        raise ArgumentError(msg)
    return float(level), float(width)
