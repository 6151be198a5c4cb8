"""Figures of segmentations: how much of two masks is the same, and how far apart their surfaces are in mm.

All are float64, of masks on the host. Overlap flatters large organs, distance small ones: print both.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from fastprep.core.errors import ArgumentError, DTypeError, GeometryError, ShapeError
from fastprep.core.grid import check_spacing
from fastprep.core.image import Image
from fastprep.qc._host import array_of

_Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class SurfaceDistance:
    """Distances in mm between the surfaces of two masks, symmetric: neither is the truth.

    Parameters
    ----------
    mean : of all distances, from each surface to the other (ASSD).
    hausdorff95 : the larger of the two 95th percentiles.
    hausdorff : the largest distance: one stray voxel decides it.
    """

    mean: float
    hausdorff95: float
    hausdorff: float


def dice(a: Any, b: Any) -> float:
    """Overlap of two masks, ``2 |a and b| / (|a| + |b|)``: 1 is the same, 0 is apart.

    Two empty masks agree: 1. Where one alone is empty it is 0.

    Parameters
    ----------
    a, b : masks of one shape, bool or whole numbers of which non-zero is inside; Images must lie on one grid.

    Raises
    ------
    ShapeError, GeometryError
        Masks of other shapes, or Images on other grids.
    DTypeError
        Floats: decide first, ``p > 0.5``.
    NoKernelError
        Masks on a GPU.

    References
    ----------
    Dice, Ecology 26(3), 1945.

    Examples
    --------
    A tumour of two voxels, one of them found, and one that is none:

    >>> dice([True, True, False], [True, False, True])
    0.5
    """
    first, second = _pair(a, b)
    total = int(np.count_nonzero(first)) + int(np.count_nonzero(second))
    return 2 * int(np.count_nonzero(first & second)) / total if total else 1.0


def surface_distance(a: Any, b: Any, spacing: Sequence[float] | None = None) -> SurfaceDistance:
    """How far apart the surfaces of two masks are.

    The surface of a mask is its voxels that have a neighbour across a face outside it; what lies beyond the image is
    outside. A distance is that from a surface voxel's centre to the nearest one of the other mask.

    Two empty masks agree: 0. Where one alone is empty nothing is near: infinity.

    Parameters
    ----------
    a, b : masks of one shape (z, y, x) or (y, x), as `dice` takes them.
    spacing : mm along each axis; Images bring their own.

    Raises
    ------
    ArgumentError
        No spacing.
    ShapeError, GeometryError, DTypeError, NoKernelError
        As `dice`; also for a spacing of another length, or not above 0.

    References
    ----------
    Reinke et al., Nature Methods 21, 2024, for the mean over both surfaces and the larger of two percentiles.

    Examples
    --------
    Lungs of which the second is drawn one voxel of 0.7 mm further:

    >>> import numpy as np
    >>> a, b = np.zeros((2, 9, 9), bool)
    >>> a[3:6, 2:5] = b[3:6, 3:6] = True
    >>> surface_distance(a, b, (0.7, 0.7)).hausdorff
    0.7
    """
    first, second = _pair(a, b)
    steps = _spacing(a, b, spacing, first.ndim)
    if not (first.any() and second.any()):
        same = 0.0 if first.any() == second.any() else math.inf
        return SurfaceDistance(same, same, same)
    # Both surfaces lie in this box, and so do all ways between them.
    box = ndimage.find_objects((first | second).view(np.uint8))[0]
    surfaces = [_surface(mask, box) for mask in (first, second)]
    there = [_distances(surfaces[0], surfaces[1], steps), _distances(surfaces[1], surfaces[0], steps)]
    return SurfaceDistance(
        float(np.concatenate(there).mean()),
        max(float(np.percentile(d, 95)) for d in there),
        max(float(d.max()) for d in there),
    )


def _surface(mask: _Mask, box: tuple[slice, ...]) -> _Mask:
    """The surface of a mask inside its box, beyond which there is none of it."""
    inside = mask[box]
    return np.asarray(inside & ~ndimage.binary_erosion(inside, border_value=0))


def _distances(surface: _Mask, other: _Mask, spacing: Sequence[float]) -> npt.NDArray[np.float64]:
    """From every voxel of one surface to the nearest of the other."""
    return np.asarray(ndimage.distance_transform_edt(~other, sampling=spacing)[surface])


def _pair(a: Any, b: Any) -> tuple[_Mask, _Mask]:
    first, second = _mask(a, "a"), _mask(b, "b")
    if first.shape != second.shape:
        msg = f"b of shape {second.shape}: expected that of a, {first.shape}"
        raise ShapeError(msg)
    if isinstance(a, Image) and isinstance(b, Image) and not a.grid.same_as(b.grid):
        msg = f"a is on {a.grid}, b on {b.grid}: expected one grid"
        raise GeometryError(msg)
    return first, second


def _mask(x: Any, name: str) -> _Mask:
    view = array_of(x, name)
    if view.dtype.kind == "f":
        msg = f"{name} of dtype {view.dtype}: expected a mask, bool or whole numbers"
        raise DTypeError(msg)
    return np.asarray(view != 0)


def _spacing(a: Any, b: Any, spacing: Sequence[float] | None, ndim: int) -> tuple[float, ...]:
    if ndim not in (2, 3):
        msg = f"masks of {ndim} axes: expected (z, y, x) or (y, x)"
        raise ShapeError(msg)
    if spacing is None:
        grids = [x.grid for x in (a, b) if isinstance(x, Image)]
        if not grids:
            msg = "spacing is missing: mm along each axis, or Images, which bring theirs"
            raise ArgumentError(msg)
        spacing = grids[0].spacing
    return check_spacing(spacing, ndim)
