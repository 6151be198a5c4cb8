"""mse: the mean squared error of an image."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from fastprep.ops._pairs import differences, told


def mse(a: Any, b: Any, mask: Any = None) -> float | npt.NDArray[np.float64]:
    """The mean of ``(b - a)^2`` over the voxels inside ``mask``, in float64 whatever the types: no integer wraps.

    Parameters
    ----------
    a : Image, or array (..., z, y, x) or (y, x): the truth, or what was there before.
    b : of the same shape and, of Images, on the same grid; of any other type.
    mask : array or Image of the space axes, or of the whole shape; non-zero is inside. None is everything.

    Returns
    -------
    A float in squared units of the images; NumPy's (...), float64, for a batch.

    Raises
    ------
    GeometryError, ShapeError
        Images on different grids, arrays of different shapes, or a mask of another.
    NonFiniteError
        NaN or infinity inside the mask.
    ArgumentError
        An empty mask.
    DeviceError
        Arrays on different devices.

    Examples
    --------
    Of an 8-bit radiograph and what it became, 16 levels darker; ``(b - a) ** 2`` would be 0 in its own type:

    >>> import numpy as np
    >>> before = np.full((4, 4), 40, np.uint8)
    >>> mse(before, before - 16)
    256.0
    """
    leading, found = differences(a, b, mask)
    return told(leading, [one.square / one.count for one in found])
