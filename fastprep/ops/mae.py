"""mae: the mean absolute error of an image."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from fastprep.ops._pairs import differences, told


def mae(a: Any, b: Any, mask: Any = None) -> float | npt.NDArray[np.float64]:
    """The mean of ``|b - a|`` over the voxels inside ``mask``, in float64 whatever the types: no integer wraps.

    Parameters
    ----------
    a : Image, or array (..., z, y, x) or (y, x): the truth, or what was there before.
    b : of the same shape and, of Images, on the same grid; of any other type.
    mask : array or Image of the space axes, or of the whole shape; non-zero is inside. None is everything.

    Returns
    -------
    A float in units of the images; NumPy's (...), float64, for a batch.

    Raises
    ------
    GeometryError, ShapeError, NonFiniteError, ArgumentError, DeviceError
        As `fastprep.mse`.

    Examples
    --------
    Of a CT, in HU:

    >>> import numpy as np
    >>> mae(np.array([[-1000, 40], [60, 300]]), np.array([[-998, 40], [60, 306]]))
    2.0
    """
    leading, found = differences(a, b, mask)
    return told(leading, [one.absolute / one.count for one in found])
