"""Millimetres along each axis of what is judged."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from fastprep.core.errors import ArgumentError, ShapeError
from fastprep.core.grid import check_spacing
from fastprep.core.image import Image


def spacing_of(a: Any, b: Any, spacing: Sequence[float] | None, ndim: int) -> tuple[float, ...]:
    """The spacing given, else that of the first Image.

    Raises
    ------
    ArgumentError
        Neither.
    ShapeError, GeometryError
        Masks of neither two nor three axes; a spacing of another length, or not above 0.
    """
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
