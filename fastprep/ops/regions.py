"""regions: how large each label of a volume is, where it lies, and what is in it."""

from __future__ import annotations

import math
import numbers
from collections.abc import Sequence
from typing import Any

import numpy as np

from fastprep.core.checks import check_memory
from fastprep.core.errors import ArgumentError, GeometryError, NonFiniteError, ShapeError
from fastprep.core.image import Image
from fastprep.core.namespace import check_together
from fastprep.core.ramp import Ramp
from fastprep.core.regions import RegionTable, scale_for
from fastprep.ops._arrays import three, view_of, with_shape
from fastprep.ops._hu import stored
from fastprep.ops._masked import moments_of
from fastprep.ops._masks import cell_of, mask_view, spacing_of
from fastprep.ops._regions import Regions
from fastprep.registry import kernel


def regions(
    labels: Any, *, intensity: Any = None, spacing: Sequence[float] | None = None, count: int | None = None
) -> Regions:
    """Volume, box, centroid and values of the labels 1, 2, ... ``count`` of a volume, all from one read of it.

    Volumes are ``voxels |det affine|`` (of an array, the product of its spacing); centroids the mean index of the
    voxels; sums are exact, so means are too. A label that no voxel has keeps its row: 0 voxels, an empty box, NaN.

    Parameters
    ----------
    labels : Image, or array (z, y, x) or (y, x) of whole numbers, as `label` makes them; 0 and below is background. A
        mask is one region.
    intensity : Image or array of that shape whose values are measured; of an Image in physical units.
    spacing : mm along each axis; an Image has its own. Without one there are no volumes.
    count : how many regions; by default the largest label.

    Returns
    -------
    Regions
        NumPy columns, on the host: ``label``, ``voxels``, ``volume_mm3`` (in 2-D ``area_mm2``), ``bounding_box`` (K,
        ndim, 2) half-open, ``centroid`` (K, ndim) in voxels, ``centroid_world`` (K, 3) in RAS mm, ``touches_border``,
        ``mean``, ``minimum``, ``maximum``; ``regions[i]`` is one of them in plain numbers.

    Raises
    ------
    DTypeError
        Labels that are floats.
    ShapeError
        A batch, or an intensity of another shape.
    NonFiniteError
        NaN or infinity inside the labels.
    ArgumentError
        A negative count; of the result, a volume without a spacing or a mean without an intensity.
    GeometryError
        An intensity on another grid; of the result, the world position of an array.
    TooLargeError
        A count beyond what memory holds.

    Examples
    --------
    Two nodules on slices of 2 mm:

    >>> import numpy as np
    >>> nodules = np.zeros((4, 6, 6), int)
    >>> nodules[1, 2:4, 2:4], nodules[2:4, 5, 0] = 1, 2
    >>> found = regions(nodules, spacing=(2, 0.7, 0.7))
    >>> found.volume_mm3.round(2).tolist()
    [3.92, 1.96]
    >>> found[1].centroid, found[1].touches_border
    ((2.5, 5.0, 0.0), True)
    """
    marks = labels.array if isinstance(labels, Image) else labels
    view = mask_view(marks, "labels")
    shape = tuple(view.shape)
    if len(shape) not in (2, 3) or (isinstance(labels, Image) and labels.grid.ndim != len(shape)):
        msg = f"labels of shape {shape}: expected one volume (z, y, x) or plane (y, x)"
        raise ShapeError(msg)
    steps = spacing_of(labels, spacing, len(shape)) if spacing is not None or isinstance(labels, Image) else None
    volume = with_shape(view, three(shape))
    if count is None:
        # The largest of none is 0.
        count = max(0, int(moments_of(view, None).high)) if view.size else 0
    elif isinstance(count, bool) or not isinstance(count, numbers.Integral) or count < 0:
        msg = f"count={count!r}: expected a whole number of at least 0"
        raise ArgumentError(msg)
    count = int(count)
    check_memory((count, len(RegionTable._fields) + 5), "int64")
    values, units, scale = (None, None, 1.0) if intensity is None else _values(labels, marks, view, intensity)
    table = kernel("regions", marks)(volume, count, values, math.inf, scale)
    grid = labels.grid if isinstance(labels, Image) else None
    cell = None if steps is None else cell_of(steps, grid)
    return Regions(np.arange(1, count + 1), steps, grid, shape, cell, table, units, scale)


def _values(labels: Any, marks: Any, view: Any, intensity: Any) -> tuple[Any, Ramp, float]:
    """The intensity as a volume, its units, and what its sums are scaled by."""
    array, units = stored(intensity)
    x = view_of(array)
    if tuple(x.shape) != tuple(view.shape):
        msg = f"intensity of shape {tuple(x.shape)}: expected that of labels, {tuple(view.shape)}"
        raise ShapeError(msg)
    check_together(labels=marks, intensity=array)
    both = isinstance(labels, Image) and isinstance(intensity, Image)
    if both and not intensity.grid.same_as(labels.grid):
        msg = f"intensity on {intensity.grid}: expected the grid of labels, {labels.grid}"
        raise GeometryError(msg)
    scale = 1.0
    if x.dtype.kind == "f" and x.size:
        found = moments_of(x, view)
        if found.nonfinite:
            msg = f"intensity holds {found.nonfinite} values inside the labels that are NaN or infinite"
            raise NonFiniteError(msg)
        scale = scale_for(max(abs(found.low), abs(found.high))) if found.count else 1.0
    return with_shape(x, three(tuple(x.shape))), units, scale
