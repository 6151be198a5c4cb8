"""resample_to: one scan on the voxels of another."""

from __future__ import annotations

import numpy as np

from fastprep.core.checks import check_order
from fastprep.core.errors import ArgumentError, GeometryError
from fastprep.core.grid import Grid
from fastprep.core.image import Image
from fastprep.core.index_map import IndexMap
from fastprep.ops._sample import sample_image


def resample_to(
    image: Image,
    grid: Grid | Image,
    *,
    order: int | str | None = None,
    fill: float | None = None,
    dtype: str | None = None,
) -> Image:
    """Interpolate ``image`` at the world positions of ``grid``'s voxels: both then lie voxel on voxel.

    Parameters
    ----------
    image : Image on any grid, oblique or sheared.
    grid : the wanted Grid, or an Image that has it.
    order : see `fastprep.resample`; by default "linear", and "nearest" for labels.
    fill : beyond the image's field of view; by default the image's own (-1024 for CT, else 0).
    dtype : of the result; the rule of `fastprep.resample`.

    Returns
    -------
    An Image on exactly ``grid``.

    Raises
    ------
    GeometryError
        Grids of 2 and 3 axes, or two planes that are not the same.

    Examples
    --------
    A lesion mask drawn on a thick-slice scan, on the grid of the thin one:

    >>> import numpy as np
    >>> thin = Grid.from_spacing((8, 4, 4), (1, 1, 1))
    >>> mask = Image(np.ones((4, 4, 4), np.uint8), Grid.from_spacing((4, 4, 4), (2, 1, 1)), kind="label")
    >>> resample_to(mask, thin).array.shape
    (8, 4, 4)
    """
    target = grid.grid if isinstance(grid, Image) else grid
    result: Image = sample_image(
        image,
        map_between(image.grid, target),
        order=image_order(image, order),
        fill=image.default_fill if fill is None else fill,
        dtype=dtype,
    )
    return result.with_array(result.array, target, voi=result.voi)


def map_between(grid: Grid, target: Grid) -> IndexMap:
    """From the voxels of ``target`` to those of an image on ``grid``.

    Raises
    ------
    GeometryError
        Grids of 2 and 3 axes, or two planes that are not the same.
    """
    if target.ndim != grid.ndim:
        msg = f"grid of {target.ndim} axes for an image of {grid.ndim}: expected the same number"
        raise GeometryError(msg)
    index_map = IndexMap.between(grid, target)
    if target.ndim == 2:
        off_plane = np.abs(index_map.matrix[2, [0, 1, 3]] * (*target.shape, 1)).max()
        if off_plane > 1e-3:
            msg = f"the grids lie in different planes, up to {off_plane:.3g} plane normals apart"
            raise GeometryError(msg)
    return index_map


def image_order(image: Image, order: int | str | None) -> int:
    """The interpolation that belongs to the image: labels are never blended."""
    if order is None:
        return 0 if image.kind == "label" else 1
    number = check_order(order)
    if image.kind == "label" and number in (1, 3):
        msg = f"order={order!r} on an image of kind 'label': expected 'nearest' or 'onehot'"
        raise ArgumentError(msg)
    return number
