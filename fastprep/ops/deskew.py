"""deskew: a tilted gantry's slices on an orthogonal grid."""

from __future__ import annotations

import numpy as np

from fastprep.core.grid import Grid
from fastprep.core.image import Image
from fastprep.ops.resample_to import resample_to


def deskew(image: Image, *, order: int | str | None = None, fill: float | None = None) -> Image:
    """Resample a sheared image onto an orthogonal grid that holds all of it.

    The in-plane axes keep direction and spacing; the first axis turns to their normal, its spacing becomes the
    distance between slices along that normal, and the in-plane field grows to cover every slice.

    Parameters
    ----------
    image : 3-D Image; an orthogonal one is returned as it is.
    order, fill : as `fastprep.resample_to`.

    Returns
    -------
    An Image on an orthogonal grid: anatomy keeps its world position.

    Examples
    --------
    A head CT taken with the gantry tilted by 18 degrees:

    >>> affine = np.diag([1.0, 1.0, 5.0, 1.0])[:, [2, 1, 0, 3]]
    >>> affine[1, 0] = -5 * np.tan(np.radians(18))
    >>> tilted = Image(np.zeros((10, 32, 32), np.int16), Grid((10, 32, 32), affine), modality="CT")
    >>> straight = deskew(tilted)
    >>> straight.grid.shear < 1e-12, straight.array.shape
    (True, (10, 47, 32))
    """
    if is_straight(image.grid):
        return image
    return resample_to(image, orthogonal_grid(image.grid), order=order, fill=fill)


#: Cosine below which two axes are taken for orthogonal: rounding of direction cosines in a file.
_STRAIGHT = 1e-5


def is_straight(grid: Grid) -> bool:
    """True when there is nothing to deskew."""
    return grid.ndim == 2 or grid.shear < _STRAIGHT


def orthogonal_grid(grid: Grid) -> Grid:
    """The smallest grid of orthogonal axes, in-plane as ``grid``'s, that holds all its voxels."""
    block = grid.affine[:3, :3]
    steps = np.linalg.norm(block, axis=0)
    x = block[:, 2] / steps[2]
    y = block[:, 1] / steps[1]
    y = y - x * (x @ y)
    y /= np.linalg.norm(y)
    normal = np.cross(x, y)
    normal *= np.sign(normal @ block[:, 0])
    spacing = np.array([normal @ block[:, 0], steps[1], steps[2]])
    axes = np.stack([normal, y, x], axis=1) * spacing
    last = np.array(grid.shape) - 1
    corners = np.array([[(i >> a) & 1 for a in range(3)] for i in range(8)]) * last
    inside = (grid.to_world(corners) - grid.affine[:3, 3]) @ np.linalg.inv(axes).T
    # A corner a rounding error beyond a voxel's centre needs no further voxel.
    low = np.floor(np.round(inside.min(axis=0), 6))
    high = np.ceil(np.round(inside.max(axis=0), 6))
    affine = np.eye(4)
    affine[:3, :3] = axes
    affine[:3, 3] = grid.affine[:3, 3] + axes @ low
    return Grid(tuple(int(n) for n in high - low + 1), affine)
