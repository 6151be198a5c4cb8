"""crop_or_pad: the shape a model wants."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from fastprep.core.errors import ShapeError
from fastprep.core.image import Image
from fastprep.core.index_map import IndexMap, check_shape
from fastprep.core.namespace import shape_of
from fastprep.ops._sample import sample_image


def crop_or_pad(x: Any, shape: Sequence[int], *, fill: float | None = None) -> Any:
    """Cut and pad about the centre to ``shape``; of an odd difference the larger half is at the end.

    Parameters
    ----------
    x : Image, or array whose last ``len(shape)`` axes are space.
    shape : wanted number of voxels per space axis.
    fill : of the padding; by default 0, for an Image its own (-1024 for CT, else 0).

    Returns
    -------
    What ``x`` was, of the same dtype; an Image keeps every voxel at its world position.

    Raises
    ------
    ShapeError
        A shape that is not 2 or 3 positive whole numbers, or longer than that of ``x``.

    Examples
    --------
    >>> import numpy as np
    >>> crop_or_pad(np.ones((2, 5), np.uint8), (4, 3)).tolist()
    [[0, 0, 0], [1, 1, 1], [1, 1, 1], [0, 0, 0]]
    """
    wanted = check_shape(shape)
    space = x.grid.shape if isinstance(x, Image) else shape_of(x)[-len(wanted) :]
    if len(space) != len(wanted):
        msg = f"shape={tuple(shape)}: expected {len(space)} axes"
        raise ShapeError(msg)
    if fill is None:
        fill = x.default_fill if isinstance(x, Image) else 0.0
    return sample_image(x, IndexMap.centered(space, wanted), order=0, fill=fill)
