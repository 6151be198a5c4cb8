"""median: the middle value of each voxel's neighbourhood."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from fastprep.core.image import Image
from fastprep.core.namespace import dtype_name
from fastprep.core.ramp import Ramp
from fastprep.ops._arrays import empty, with_shape
from fastprep.ops._bias import scan_of
from fastprep.ops._denoise import per_axis
from fastprep.ops._pointwise import apply_ramps
from fastprep.registry import kernel


def median(x: Any, *, size: int | Sequence[int] = 3, dtype: Any = None) -> Any:
    """The median of the box of ``size`` voxels around each voxel (Tukey 1977).

    What is odd in fewer than half of a box is gone, however far off it is: hot pixels, salt and pepper, a mask's
    specks. Straight edges stay where they are; corners and lines thinner than half the box do not. Beyond its border
    the image is mirrored, the border itself repeated (d c b a | a b c d | d c b a), as often as a large box needs:
    SciPy's ``median_filter`` with its mode "reflect", exactly.

    Parameters
    ----------
    x : Image, or array (..., z, y, x) or (y, x); each volume by itself.
    size : voxels, odd: for all axes, or one for each. Along an axis of one voxel it is 1.
    dtype : of the result; by default that of ``x``.

    Returns
    -------
    What ``x`` was, its values among those of ``x``; of an Image with stored values those, and their rescale. NaN is
    in every box that holds one; bool is a vote.

    Raises
    ------
    ArgumentError
        An even size, or none.
    ShapeError
        Fewer than two axes.

    Examples
    --------
    A hot pixel in a radiograph, at the foot of an edge:

    >>> import numpy as np
    >>> x = np.array([[10, 10, 90, 90], [10, 4095, 90, 90], [10, 10, 90, 90]], np.uint16)
    >>> median(x).tolist()
    [[10, 10, 90, 90], [10, 10, 90, 90], [10, 10, 90, 90]]
    """
    # The middle one stays so under any Ramp.
    stored = isinstance(x, Image) and dtype is None
    scan = scan_of(x.array, None, None, (1.0,) * x.grid.ndim) if stored else scan_of(x, None, None, None)
    sizes = per_axis("size", size, scan.space, least=1, odd=True)
    reach = tuple(k // 2 if n > 1 else 0 for k, n in zip(sizes, scan.volumes.shape[1:], strict=True))
    name = scan.volumes.dtype.name
    wanted = name if dtype is None else dtype_name(dtype, scan.array)
    out = empty((*scan.leading, *scan.space), name, scan.array)
    kernel("median", scan.volumes)(scan.volumes, with_shape(out.view, tuple(scan.volumes.shape)), reach)
    result = out.finish()
    if stored:
        return replace(x, array=result)
    if wanted != name:
        result = apply_ramps(result, [Ramp()], dtype=wanted)
    return x.with_array(result) if isinstance(x, Image) else result
