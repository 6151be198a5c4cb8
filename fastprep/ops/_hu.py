"""A CT as operations in Hounsfield units see it, and what they refuse because it is none."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

from fastprep.core.errors import ArgumentError, ShapeError
from fastprep.core.grid import Grid
from fastprep.core.image import Image
from fastprep.core.ramp import Ramp
from fastprep.ops._arrays import view_of
from fastprep.ops._masked import moments_of, numbers_of
from fastprep.ops._masks import spacing_of

#: Voxels that are looked at first.
_SAMPLE = 100_000
_EXPECTED = "expected Hounsfield units (air about -1000)"


class Scan(NamedTuple):
    """One volume of CT: the caller's array, what kernels see of it, how that becomes HU, and where it is.

    ``units`` increases and has no bounds; ``grid`` is an Image's.
    """

    array: Any
    view: Any
    units: Ramp
    spacing: tuple[float, ...]
    grid: Grid | None


def ct_of(hu: Any, spacing: Any) -> Scan:
    """One volume (z, y, x) with its spacing, checked to be in HU.

    Raises
    ------
    ArgumentError
        No CT, values that are no HU, or no spacing.
    ShapeError
        A plane or a batch.
    """
    if isinstance(hu, Image) and (hu.kind == "label" or hu.modality not in (None, "CT")):
        msg = f"hu of {'labels' if hu.kind == 'label' else f'modality {hu.modality!r}'}: expected a CT in HU"
        raise ArgumentError(msg)
    array, units = stored(hu)
    view = view_of(array)
    if view.ndim != 3 or (isinstance(hu, Image) and hu.grid.ndim != 3) or 0 in view.shape:
        msg = f"hu of shape {tuple(view.shape)}: expected one volume (z, y, x); a slice is one as hu[None]"
        raise ShapeError(msg)
    steps = spacing_of(hu, spacing, 3)
    check_hu(view, units)
    return Scan(array, view, units, steps, hu.grid if isinstance(hu, Image) else None)


def stored(x: Any) -> tuple[Any, Ramp]:
    """The array of ``x`` and how it becomes physical units: of an Image its stored numbers, where those keep order."""
    if not isinstance(x, Image):
        return x, Ramp()
    one = x.rescale
    if one.a > 0 and math.isinf(one.lo) and math.isinf(one.hi):
        return x.array, one
    return numbers_of(x)[0], Ramp()


def check_hu(view: Any, units: Ramp | None = None, *, needs_air: bool = False) -> None:
    """ArgumentError where the values of a volume cannot be HU: masks, normalised values, grey values of 8 bits.

    With ``needs_air`` also values of which none is below 0, as those that are stored without their intercept. A sample
    of rows is looked at, and all of them before anything is refused.
    """
    if view.dtype.kind == "b":
        msg = f"hu of dtype bool: a mask; {_EXPECTED}"
        raise ArgumentError(msg)
    one = units or Ramp()
    part = _rows(view)
    why = _doubt(part, one, needs_air)
    if why and part.size < view.size:
        why = _doubt(view, one, needs_air)
    if why:
        msg = f"hu: {why}; {_EXPECTED}"
        raise ArgumentError(msg)


def _doubt(view: Any, units: Ramp, needs_air: bool) -> str:
    """Why values are no HU; nothing where they may be."""
    found = moments_of(view, None)
    if not found.count:
        return "no value is finite"
    low, high = units.a * found.low + units.b, units.a * found.high + units.b
    what = f"all values are {low:g}" if low == high else f"values from {low:g} to {high:g}"
    if low >= -10 and high <= 10:
        return what if low == high else f"{what}: they look normalised"
    if low >= 0 and high <= 255:
        return what if low == high else f"{what}: they look like grey values of 8 bits"
    if needs_air and low >= 0:
        return f"{what}: none below 0, so there is no air, or the intercept is missing"
    return ""


def _rows(view: Any) -> Any:
    """Some whole rows of a volume, evenly."""
    step = math.ceil(math.sqrt(max(1.0, view.size / _SAMPLE)))
    every = slice(None, None, step)
    return view[every, every] if view.ndim > 2 else view[every]
