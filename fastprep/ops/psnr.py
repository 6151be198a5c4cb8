"""psnr: the error of an image beside the range of its values, in decibels."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from fastprep.ops._pairs import check_data_range, differences, pair_of, told


def psnr(a: Any, b: Any, *, data_range: float, mask: Any = None) -> float | npt.NDArray[np.float64]:
    """The peak signal-to-noise ratio ``10 log10(data_range^2 / mse(a, b))`` in dB; infinite where nothing differs.

    Parameters
    ----------
    a : Image, or array (..., z, y, x) or (y, x): the truth, or what was there before.
    b : of the same shape and, of Images, on the same grid; of any other type.
    data_range : the largest difference that values of ``a`` can have: 255 of 8 bits, 4095 of 12, the width of a window
        of HU. It is no property of an array's type, so it has no default; it must hold the values of ``a``.
    mask : array or Image of the space axes, or of the whole shape; non-zero is inside. None is everything.

    Returns
    -------
    A float; NumPy's (...), float64, for a batch.

    Raises
    ------
    ArgumentError
        A range that is not above 0 or smaller than that of ``a``, or an empty mask.
    GeometryError, ShapeError, NonFiniteError, DeviceError
        As `fastprep.mse`.

    Examples
    --------
    A brain window of 80 HU, one voxel of four off by 8:

    >>> import numpy as np
    >>> round(psnr(np.array([[0, 30], [40, 80]]), np.array([[0, 30], [40, 72]]), data_range=80), 2)
    26.02
    """
    first, _, ndim = pair_of(a, b)
    value = check_data_range(data_range, first, mask, ndim)
    leading, found = differences(a, b, mask)
    return told(leading, [decibels(value, one.square / one.count) for one in found])


def decibels(data_range: float, error: float) -> float:
    """The ratio of a range and a mean squared error."""
    return 20 * math.log10(data_range) - 10 * math.log10(error) if error > 0 else math.inf
