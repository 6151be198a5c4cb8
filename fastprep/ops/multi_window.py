"""multi_window: several windows of one scan as channels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from fastprep.core.errors import ArgumentError
from fastprep.core.ramp import Ramp
from fastprep.ops._pointwise import apply_ramps
from fastprep.ops.window import window_ramp


def multi_window(
    x: Any,
    presets: Sequence[str | tuple[float, float]],
    *,
    out_range: tuple[float, float] = (0, 1),
    dtype: Any = "float32",
) -> Any:
    """Stack windows along a new first axis, reading ``x`` once: ``y[k] = window(x, *presets[k])``.

    Parameters
    ----------
    x : array (...) in HU.
    presets : names of windows, or (level, width) pairs; function "linear_exact".
    dtype : of the result; integers are rounded half to even and saturate.

    Returns
    -------
    An array (K, ...) of the library and on the device of ``x``.

    Raises
    ------
    ArgumentError
        No preset, an unknown one, or a width not above 0.

    Examples
    --------
    Lung, soft tissue and bone as the three channels of a network:

    >>> import numpy as np
    >>> multi_window(np.full((2, 4, 4), 40, np.int16), ["lung", "soft_tissue", "bone"]).shape
    (3, 2, 4, 4)
    """
    return apply_ramps(x, multi_window_ramps(presets, out_range), dtype=dtype, channels=True)


def multi_window_ramps(presets: Sequence[str | tuple[float, float]], out_range: tuple[float, float]) -> list[Ramp]:
    """The Ramps of `multi_window`."""
    if isinstance(presets, str) or len(presets) == 0:
        msg = f"presets={presets!r}: expected a list of window names or (level, width) pairs"
        raise ArgumentError(msg)
    ramps = []
    for p in presets:
        if isinstance(p, str):
            ramps.append(window_ramp(None, None, p, "linear_exact", out_range))
        elif len(p) == 2:
            ramps.append(window_ramp(p[0], p[1], None, "linear_exact", out_range))
        else:
            msg = f"presets: {p!r} is neither a window's name nor a (level, width) pair"
            raise ArgumentError(msg)
    return ramps
