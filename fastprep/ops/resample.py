"""resample: the same anatomy on voxels of another size."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

from fastprep.core.checks import check_order
from fastprep.core.index_map import IndexMap
from fastprep.core.namespace import shape_of
from fastprep.ops._sample import sample


def resample(
    x: Any,
    spacing: Sequence[float],
    new_spacing: Sequence[float],
    *,
    order: int | str = "linear",
    grid: str = "itk",
    shape: Sequence[int] | None = None,
    antialias: bool = False,
    fill: float | None = None,
    dtype: Any = None,
) -> Any:
    """Resample from voxels of ``spacing`` to voxels of ``new_spacing`` millimetres.

    Output voxel ``i`` of an axis of n voxels and spacing s is the interpolated value at input index ``k i + o``; t
    is the new spacing and m the new number of voxels:

    =========== =========================== ============= ==========================
    grid        m                           k             o
    =========== =========================== ============= ==========================
    "itk"       round(n s / t)              t / s         0
    "edges"     round(n s / t)              n / m         (k - 1) / 2
    "monai"     round((n - 1) s / t + 1)    t / s         0
    "torchio"   floor(n s / t)              t / s         (n - 1) / 2 - k (m - 1) / 2
    "scipy"     round(n s / t)              (n-1) / (m-1) 0
    =========== =========================== ============= ==========================

    Each is that library's own shape and samples ("edges": nnU-Net and torch); ``shape`` overrides m.

    Parameters
    ----------
    x : array (..., z, y, x) or (..., y, x); the last ``len(spacing)`` axes are space.
    spacing, new_spacing : millimetres in array-axis order.
    order : "nearest" (0, ties upward), "linear" (1), "cubic" (3: interpolating B-spline, mirror boundary, as ITK), or
        "onehot" for labels: linear interpolation of every label's indicator, the largest wins, the lowest on a tie.
    antialias : blur with a Gaussian first along axes that get coarser, see `fastprep.core.taps.axis_taps`.
    fill : beyond half a voxel outside the field of view; default 0. Pass -1024 for CT in HU.
    dtype : of the result; by default "nearest" and "onehot" keep the dtype, else floats keep theirs and integers
        become float32. Casts to integers round half to even and saturate.

    Returns
    -------
    An array of the library and on the device of ``x``. NaN reaches as far as the interpolation does.

    Raises
    ------
    GeometryError
        A spacing that is not positive.
    ArgumentError
        An unknown order or grid, a shape of other length, a fill that is not finite.
    DTypeError
        A mask to be blended, or "onehot" of floats.
    TooLargeError
        A result larger than this machine's memory.

    Notes
    -----
    Unser, "Splines: a perfect fit", IEEE Signal Processing Magazine 1999; Cardoso et al., MICCAI 2015 (anti-aliasing).

    Examples
    --------
    A chest CT of 2 mm slices to 1 mm cubes:

    >>> import numpy as np
    >>> resample(np.zeros((10, 16, 16), np.int16), (2, 0.75, 0.75), (1, 1, 1), fill=-1024).shape
    (20, 12, 12)
    """
    space = shape_of(x)[-len(spacing) :] if len(spacing) else ()
    index_map = _index_map(space, tuple(spacing), tuple(new_spacing), grid, None if shape is None else tuple(shape))
    return sample(
        x, index_map, order=check_order(order), fill=0.0 if fill is None else fill, dtype=dtype, antialias=antialias
    )


@lru_cache(maxsize=256)
def _index_map(
    space: tuple[int, ...],
    spacing: tuple[float, ...],
    new_spacing: tuple[float, ...],
    grid: str,
    shape: tuple[int, ...] | None,
) -> IndexMap:
    """The map of a change of spacing: a training loop asks for the same few again and again."""
    return IndexMap.spacing_change(space, spacing, new_spacing, grid=grid, new_shape=shape)
