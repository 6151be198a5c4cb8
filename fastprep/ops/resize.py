"""resize: the whole field of view in the shape a model wants."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from fastprep.core.checks import check_order
from fastprep.core.errors import ShapeError
from fastprep.core.image import Image
from fastprep.core.index_map import IndexMap, check_shape
from fastprep.core.namespace import shape_of
from fastprep.ops._sample import sample_image
from fastprep.ops.resample_to import image_order


def resize(
    x: Any,
    shape: Sequence[int],
    *,
    keep_aspect: bool = True,
    spacing: Sequence[float] | None = None,
    order: int | str | None = None,
    antialias: bool | None = None,
    fill: float | None = None,
    dtype: Any = None,
) -> Any:
    """Scale the whole field of view to ``shape``, its centre on the centre, padded where the proportions differ.

    Output voxel ``i`` of an axis of n voxels and spacing s is the interpolated value at input index
    ``(n - 1) / 2 + k (i - (m - 1) / 2)``, with m the wanted number of voxels. ``k = t / s`` for the spacing
    ``t = max(n s / m)`` of all axes, so that a circle stays one; without ``keep_aspect`` it is n / m of each axis.

    Parameters
    ----------
    x : Image, or array whose last ``len(shape)`` axes are space.
    shape : wanted number of voxels per space axis.
    keep_aspect : keep the proportions in mm; False stretches the image to fill the shape.
    spacing : mm along each axis of an array; by default equal ones. An Image brings its own.
    order : see `fastprep.resample`; by default "linear", and "nearest" for label Images.
    antialias : blur first along axes that get coarser, so that fine structure does not come back as a pattern; by
        default where values are interpolated.
    fill : of the padding; by default 0, for an Image its own (-1024 for CT, else 0).
    dtype : of the result; the rule of `fastprep.resample`.

    Returns
    -------
    What ``x`` was; an Image has the exact new grid.

    Raises
    ------
    ShapeError
        A shape that is not 2 or 3 positive whole numbers, or of another length than the Image's.
    GeometryError
        A spacing that is not positive, or of another length.
    ArgumentError
        An unknown order, a fill that is not finite, linear interpolation of a label Image.

    Examples
    --------
    A radiograph of 1955 x 1841 pixels for a model of 512 x 512: 482 columns of it, and 15 of padding either side:

    >>> import numpy as np
    >>> small = resize(np.ones((1955, 1841), np.uint16), (512, 512))
    >>> small.shape, int((small[0] == 0).sum())
    ((512, 512), 30)
    """
    wanted = check_shape(shape)
    if isinstance(x, Image):
        space, steps = x.grid.shape, x.spacing
        number = image_order(x, order)
    else:
        space = shape_of(x)[-len(wanted) :]
        steps = (1.0,) * len(space) if spacing is None else tuple(spacing)
        number = check_order("linear" if order is None else order)
    if len(space) != len(wanted):
        msg = f"shape={wanted}: expected {len(space)} axes"
        raise ShapeError(msg)
    if fill is None:
        fill = x.default_fill if isinstance(x, Image) else 0.0
    blurs = number in (1, 3) if antialias is None else antialias
    index_map = IndexMap.fitted(space, steps, wanted, keep_aspect=keep_aspect)
    return sample_image(x, index_map, order=number, antialias=blurs, fill=fill, dtype=dtype)
