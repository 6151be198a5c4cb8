"""How far apart the surfaces of two masks are, in mm: of masks on the host, by SciPy's distance transform."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from fastprep.qc._masks import Mask, pair_of
from fastprep.qc._spacing import spacing_of


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


def surface_distance(a: Any, b: Any, spacing: Sequence[float] | None = None) -> SurfaceDistance:
    """How far apart the surfaces of two masks are.

    The surface of a mask is its voxels that have a neighbour across a face outside it; what lies beyond the image is
    outside. A distance is that from a surface voxel's centre to the nearest one of the other mask.

    Two empty masks agree: 0. Where one alone is empty nothing is near: infinity.

    Parameters
    ----------
    a, b : masks of one shape (z, y, x) or (y, x), as `fastprep.qc.dice` takes them.
    spacing : mm along each axis; Images bring their own.

    Raises
    ------
    ArgumentError
        No spacing.
    ShapeError, GeometryError, DTypeError
        As `dice`; also for a spacing of another length, or not above 0.
    NoKernelError
        Masks on a GPU.

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
    first, second = pair_of(a, b)
    steps = spacing_of(a, b, spacing, first.ndim)
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


def _surface(mask: Mask, box: tuple[slice, ...]) -> Mask:
    """The surface of a mask inside its box, beyond which there is none of it."""
    inside = mask[box]
    return np.asarray(inside & ~ndimage.binary_erosion(inside, border_value=0))


def _distances(surface: Mask, other: Mask, spacing: Sequence[float]) -> npt.NDArray[np.float64]:
    """From every voxel of one surface to the nearest of the other."""
    return np.asarray(ndimage.distance_transform_edt(~other, sampling=spacing)[surface])
