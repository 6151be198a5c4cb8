"""mend_pixels: bad pixels replaced by what is around them."""

from __future__ import annotations

from typing import Any

import numpy as np

from fastprep.core.checks import check_space
from fastprep.core.errors import DTypeError, ShapeError
from fastprep.core.image import Image
from fastprep.core.namespace import check_together
from fastprep.ops._arrays import empty, view_of, with_shape
from fastprep.ops._detector import plain
from fastprep.registry import kernel


def mend_pixels(x: Any, bad: Any) -> Any:
    """Every bad pixel becomes the median of good ones around it; all others stay as they are.

    They are those of the smallest square around it (3x3, 5x5, ..., at most 31x31) that has three of them or more
    within the image. NaN is no good pixel. Of an even number the median is the mean of the two in the middle, rounded
    half to even in integers. In a larger hole the innermost pixels stay as they are.

    Parameters
    ----------
    x : array (..., y, x), or a 2-D Image.
    bad : mask (y, x) for all frames, or of the shape of ``x``; not zero where a pixel is bad.

    Returns
    -------
    What ``x`` was, of its dtype and on its device.

    Raises
    ------
    ShapeError
        A mask of another shape.
    DTypeError
        A mask of floats.

    Notes
    -----
    The defects of a detector are found by `fastprep.bad_pixels`, from flat and dark frames. Do it after
    `fastprep.flat_field`: then neighbours differ by anatomy alone.

    Examples
    --------
    A dead line across soft tissue:

    >>> import numpy as np
    >>> x = np.array([[50, 0, 52], [50, 0, 54], [51, 0, 53]], np.uint16)
    >>> mend_pixels(x, x == 0).tolist()
    [[50, 51, 52], [50, 52, 54], [51, 52, 53]]
    """
    array, marks = plain(x), plain(bad)
    view, mask = view_of(array), view_of(marks)
    leading, space = check_space(tuple(view.shape), 2)
    if tuple(mask.shape) not in (space, tuple(view.shape)):
        msg = f"bad of shape {tuple(mask.shape)}: expected {space}, or the shape of x {tuple(view.shape)}"
        raise ShapeError(msg)
    if mask.dtype.kind == "f":
        msg = f"bad of dtype {mask.dtype.name}: expected a mask; compare first, e.g. p > 0.5"
        raise DTypeError(msg)
    check_together(x=array, bad=marks)
    out = empty(view.shape, view.dtype.name, array)
    for index in np.ndindex(leading):
        marks_here = mask if tuple(mask.shape) == space else mask[index]
        frames = (with_shape(v, (1, 1, *space)) for v in (view[index], marks_here, out.view[index]))
        kernel("mend", array)(*frames)
    result = out.finish()
    return x.with_array(result) if isinstance(x, Image) else result
