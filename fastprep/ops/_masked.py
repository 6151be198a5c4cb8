"""What the statistics share: volumes with their masks, and answers that make sense of them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from fastprep.core.checks import check_space
from fastprep.core.errors import ArgumentError, NonFiniteError, ShapeError
from fastprep.core.image import Image
from fastprep.core.moments import Moments
from fastprep.core.namespace import check_together, shape_of
from fastprep.ops._arrays import three, view_of, with_shape
from fastprep.ops._pointwise import apply_ramps
from fastprep.registry import kernel

Index = tuple[int, ...]


def numbers_of(x: Any) -> tuple[Any, int | None]:
    """The array of an image in physical units and its number of space axes; an array as it is, and None."""
    if not isinstance(x, Image):
        return x, None
    return x.array if x.rescale.is_identity else apply_ramps(x.array, [x.rescale]), x.grid.ndim


def masked_volumes(x: Any, mask: Any, ndim: int | None) -> Iterator[tuple[Index, Any, Any]]:
    """Index, view and mask's view of every volume of ``x`` (..., space): the masks of all, of one for all, or None.

    Without ``ndim`` the space axes are the mask's where it has 2 or 3, else the last three at most.
    """
    view, shape = view_of(x), shape_of(x)
    marks = mask.array if isinstance(mask, Image) else mask
    have = None if marks is None else shape_of(marks)
    if ndim is None:
        ndim = min(len(shape if have is None else have), 3)
    leading, space = check_space(shape, ndim)
    if have is not None and have not in (space, shape):
        msg = f"mask of shape {have}: expected the space axes {space} of x"
        raise ShapeError(msg)
    if marks is not None:
        check_together(x=x, mask=marks)
    inside = None if marks is None else view_of(marks)
    for index in np.ndindex(leading):
        of_this = inside if inside is None or have == space else inside[index]
        yield index, view[index], of_this


def moments_of(view: Any, mask: Any) -> Moments:
    """The moments of one volume, whatever they are."""
    shape = three(view.shape)
    marks = None if mask is None else with_shape(mask, shape)
    found: Moments = kernel("moments", view)(with_shape(view, shape), marks)
    return found


def spread_of(view: Any, mask: Any) -> Moments:
    """The moments of one volume whose values differ.

    Raises
    ------
    NonFiniteError
        NaN or infinity inside the mask.
    ArgumentError
        No voxel inside the mask, or one value only.
    """
    found = moments_of(view, mask)
    where = "" if mask is None else " inside the mask"
    if found.nonfinite:
        msg = f"x holds {found.nonfinite} values{where} that are NaN or infinite"
        raise NonFiniteError(msg)
    if found.count == 0:
        msg = "mask holds no voxel: there is nothing to take a statistic of"
        raise ArgumentError(msg)
    if found.low == found.high:
        msg = f"x is constant{where}, {found.low:g}: its values tell nothing apart"
        raise ArgumentError(msg)
    return found
