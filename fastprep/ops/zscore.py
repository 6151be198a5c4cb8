"""zscore: mean 0 and standard deviation 1."""

from __future__ import annotations

from typing import Any

from fastprep.core.checks import float_for
from fastprep.core.image import Image
from fastprep.core.moments import Moments
from fastprep.core.ramp import Ramp
from fastprep.ops._arrays import empty, view_of
from fastprep.ops._masked import masked_volumes, numbers_of, spreads_of
from fastprep.ops._pointwise import apply_ramps


def zscore(x: Any, *, mask: Any = None) -> Any:
    """Standardise each volume: ``y = (x - mean) / std``, mean and std (ddof 0) those of the voxels inside ``mask``.

    Parameters
    ----------
    x : Image, or array (..., z, y, x) or (y, x); each volume by its own mean and std.
    mask : array or Image of the space axes of ``x``, or of its whole shape; non-zero is inside. None is everything,
        of which the air around a head is most: give a mask.

    Returns
    -------
    What ``x`` was, all of it standardised, outside the mask too: floats keep their type, integers become float32.
    Statistics are float64; the result carries the rounding of its own type.

    Raises
    ------
    NonFiniteError
        NaN or infinity inside the mask.
    ArgumentError
        An empty mask, or one value only inside it.
    ShapeError
        A mask of another shape.
    DeviceError
        An image and a mask on different devices.

    Examples
    --------
    White matter of 150 and grey matter of 90, and what is not brain:

    >>> import numpy as np
    >>> t1 = np.array([[0, 90, 90], [150, 150, 0]])
    >>> zscore(t1, mask=t1 > 0).tolist()
    [[-4.0, -1.0, -1.0], [1.0, 1.0, -4.0]]
    """
    array, ndim = numbers_of(x)
    found = spreads_of(array, mask, ndim)
    view = view_of(array)
    out = empty(view.shape, float_for(view.dtype), array)
    for (index, volume, _), moments in zip(masked_volumes(array, mask, ndim), found, strict=True):
        apply_ramps(volume, [zscore_ramp(moments)], into=out.view[index])
    result = out.finish()
    return x.with_array(result) if isinstance(x, Image) else result


def zscore_ramp(found: Moments) -> Ramp:
    """The Ramp of `zscore`."""
    return Ramp(1 / found.std, -found.mean / found.std)
