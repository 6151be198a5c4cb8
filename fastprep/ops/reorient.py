"""reorient: array axes along chosen anatomical directions."""

from __future__ import annotations

from collections.abc import Sequence

from fastprep.core.image import Image
from fastprep.core.index_map import IndexMap
from fastprep.ops._sample import sample_image


def reorient(image: Image, axcodes: Sequence[str]) -> Image:
    """Permute and flip the axes so that each runs closest to the direction asked for. No voxel is interpolated.

    Parameters
    ----------
    image : Image on any grid.
    axcodes : one letter per array axis, first axis first, of R/L, A/P, S/I: the direction in which the index grows.
        "SPL" is a DICOM CT as (z, y, x); "RAS" is the axis order of a NIfTI file in nibabel.

    Returns
    -------
    An Image of the same dtype with its exact grid; every voxel keeps its world position.

    Raises
    ------
    ArgumentError
        Letters that are not one of each pair.

    Examples
    --------
    >>> import numpy as np
    >>> from fastprep.core.grid import Grid
    >>> scan = Image(np.zeros((4, 6, 8), np.int16), Grid.from_spacing((4, 6, 8), (2, 1, 1)))
    >>> reorient(scan, "RAS").array.shape
    (8, 6, 4)
    """
    result: Image = sample_image(image, IndexMap.reorient(image.grid, axcodes), order=0)
    return result
