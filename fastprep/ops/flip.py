"""flip: axes reversed."""

from __future__ import annotations

from collections.abc import Sequence
from operator import index
from typing import Any

from fastprep.core.image import Image
from fastprep.core.index_map import IndexMap
from fastprep.core.namespace import shape_of
from fastprep.ops._sample import sample_image


def flip(x: Any, axes: int | Sequence[int], *, ndim: int = 3) -> Any:
    """Reverse space axes: ``y[i] = x[n - 1 - i]``; its own inverse.

    Parameters
    ----------
    x : Image, or array whose last ``ndim`` axes are space.
    axes : one or several space axes, 0 the first of them, negative from the end.
    ndim : 2 or 3, of an array; an Image knows its own, and an array of two axes is 2-D.

    Returns
    -------
    What ``x`` was, of the same dtype; an Image keeps every voxel at its world position.

    Raises
    ------
    ArgumentError
        No such axis.

    Examples
    --------
    >>> import numpy as np
    >>> flip(np.array([[1, 2], [3, 4]]), -1).tolist()
    [[2, 1], [4, 3]]
    """
    chosen = tuple(axes) if isinstance(axes, Sequence) else (index(axes),)
    if isinstance(x, Image):
        space = x.grid.shape
    else:
        shape = shape_of(x)
        space = shape[-min(ndim, len(shape)) :]
    return sample_image(x, IndexMap.flip(space, chosen), order=0)
