"""rescale: stored values to physical units."""

from __future__ import annotations

from typing import Any

from fastprep.core.ramp import Ramp
from fastprep.ops._pointwise import apply_ramps


def rescale(x: Any, slope: float = 1.0, intercept: float = 0.0, *, dtype: Any = None) -> Any:
    """The DICOM modality LUT and NIfTI scaling: ``y = slope * x + intercept``.

    Parameters
    ----------
    x : array of any shape, stored values.
    slope, intercept : finite numbers.
    dtype : of the result; by default floats keep theirs and integers become float32.

    Returns
    -------
    An array of the library and on the device of ``x``. NaN stays NaN.

    Raises
    ------
    ArgumentError
        A slope or intercept that is not finite.

    Examples
    --------
    Stored CT values to HU, in the type they came in:

    >>> import numpy as np
    >>> rescale(np.array([0, 1064], np.int16), 1, -1024, dtype="int16").tolist()
    [-1024, 40]
    """
    return apply_ramps(x, [Ramp(float(slope), float(intercept))], dtype=dtype)
