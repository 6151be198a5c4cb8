"""local_normalize: each voxel against its neighbourhood."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from fastprep.core.box import reach_of
from fastprep.core.checks import float_for
from fastprep.core.errors import ArgumentError
from fastprep.core.image import Image
from fastprep.ops._arrays import empty, for_all, with_shape
from fastprep.ops._bias import scan_of
from fastprep.ops._masked import spread_of
from fastprep.registry import kernel


def local_normalize(
    x: Any,
    *,
    window: float | Sequence[float] = 30.0,
    mask: Any = None,
    spacing: Sequence[float] | None = None,
    floor: float = 0.01,
) -> Any:
    """``y = (x - m) / s``, the mean and standard deviation (ddof 0) of the voxels around each (Jarrett et al. 2009).

    Those are the voxels inside ``mask`` within a box around the voxel, fewer where the box reaches beyond the image or
    the mask. What is brighter than its neighbourhood is above 0 whatever the coil's shading there, and no intensity
    keeps its meaning across the image: large homogeneous parts become noise about 0.

    Parameters
    ----------
    x : Image, or array (..., z, y, x) or (y, x); each volume by itself. The last ``len(spacing)`` axes are space, or
        those of the mask.
    window : width of the box in mm, one for all axes or one for each; in voxels for an array without ``spacing``. It
        is the nearest odd number of voxels, and one at least: along an axis of thick slices often that one.
    mask : array or Image of the space axes of ``x``, or of its whole shape; non-zero is inside. None is everything.
        Voxels outside are normalised by those inside that are near, too.
    floor : the least ``s``, in standard deviations of all voxels inside the mask, so that the noise of air is not made
        as strong as tissue. With 0 there is none; what differs less than 1e-5 of that counts as constant then.

    Returns
    -------
    What ``x`` was: floats keep their type, integers become float32. 0 where no voxel inside the mask is near, and
    where those that are do not differ and ``floor`` is 0. Statistics are float64; the time does not depend on the
    window, on a GPU little.

    Raises
    ------
    NonFiniteError
        NaN or infinity inside the mask.
    ArgumentError
        An empty mask, one value only inside it, a window not above 0, or a negative floor.
    ShapeError
        A mask of another shape.
    GeometryError
        Images of x and mask on different grids.

    Examples
    --------
    A lesion near the coil, and one of the same contrast far from it, where the signal is a tenth:

    >>> import numpy as np
    >>> near = np.array([[100, 100, 130, 100, 100]])
    >>> np.round(local_normalize(np.hstack([near, near / 10]), window=5), 1).tolist()
    [[-0.7, -0.6, 2.0, 0.3, 0.6, -0.8, -0.5, 2.0, -0.6, -0.7]]
    """
    if not (floor >= 0 and math.isfinite(floor)):
        msg = f"floor={floor}: expected a number of at least 0"
        raise ArgumentError(msg)
    scan = scan_of(x, mask, None, spacing)
    reach = reach_of(_widths(window, len(scan.space)), scan.spacing or (1.0,) * len(scan.space))
    volumes = scan.volumes
    inside = None if scan.mask is None else for_all(scan.mask, len(volumes))
    found = [spread_of(volumes[b], None if inside is None else inside[b]) for b in range(len(volumes))]
    out = empty((*scan.leading, *scan.space), float_for(volumes.dtype), scan.array)
    # Whole numbers less a whole number leave sums of whole numbers, which are exact.
    centers = np.array([f.mean if volumes.dtype.kind == "f" else round(f.mean) for f in found], np.float64)
    kernel("local_normalize", volumes)(
        volumes,
        with_shape(out.view, tuple(volumes.shape)),
        inside,
        (0,) * (3 - len(reach)) + reach,
        centers,
        np.array([f.std for f in found]),
        float(floor),
    )
    result = out.finish()
    return x.with_array(result) if isinstance(x, Image) else result


def _widths(window: float | Sequence[float], ndim: int) -> tuple[float, ...]:
    widths = tuple(window) if isinstance(window, Sequence) else (window,) * ndim
    if len(widths) != ndim or not all(w > 0 and math.isfinite(w) for w in widths):
        msg = f"window={window}: expected a number above 0, or {ndim} of them"
        raise ArgumentError(msg)
    return widths
