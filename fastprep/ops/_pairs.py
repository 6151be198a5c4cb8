"""What figures of two images share: their volumes side by side, how they differ, and the range they are told in."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from fastprep.core.differences import Differences
from fastprep.core.errors import ArgumentError, GeometryError, NonFiniteError, ShapeError
from fastprep.core.image import Image
from fastprep.core.namespace import check_together, shape_of
from fastprep.ops._arrays import three, view_of, with_shape
from fastprep.ops._masked import masked_volumes, measured, merged, numbers_of
from fastprep.registry import kernel

#: What a spread may be above a range: the rounding of float32 results.
_ROUNDING = 1e-5


def pair_of(a: Any, b: Any) -> tuple[Any, Any, int | None]:
    """Both arrays in physical units, and the number of space axes where one of them is an Image.

    Raises
    ------
    GeometryError
        Images on different grids.
    ShapeError
        Arrays of different shapes.
    DeviceError
        Arrays on different devices.
    """
    if isinstance(a, Image) and isinstance(b, Image) and not a.grid.same_as(b.grid):
        msg = f"a is on {a.grid}, b on {b.grid}: expected one grid"
        raise GeometryError(msg)
    (first, ndim), (second, other) = numbers_of(a), numbers_of(b)
    if shape_of(first) != shape_of(second):
        msg = f"b of shape {shape_of(second)}: expected that of a, {shape_of(first)}"
        raise ShapeError(msg)
    check_together(a=first, b=second)
    return first, second, other if ndim is None else ndim


def differences(a: Any, b: Any, mask: Any) -> tuple[tuple[int, ...], list[Differences]]:
    """The leading axes, and how much each volume of ``b`` differs from that of ``a`` inside the mask.

    Raises
    ------
    GeometryError, ShapeError, DeviceError
        As `pair_of`; a mask of another shape or on another device.
    NonFiniteError
        NaN or infinity inside the mask.
    ArgumentError
        An empty mask.
    """
    first, second, ndim = pair_of(a, b)
    leading, found = over_pairs("errors", first, second, ndim, mask=mask)
    if any(one.nonfinite for one in found):
        check_finite(first, mask, ndim, "a")
        check_finite(second, mask, ndim, "b")
    if any(one.count == 0 for one in found):
        msg = "mask holds no voxel: there is nothing to compare"
        raise ArgumentError(msg)
    return leading, found


def over_pairs(
    name: str, a: Any, b: Any, ndim: int | None, *how: Any, mask: Any = None, out: Any = None
) -> tuple[tuple[int, ...], list[Any]]:
    """What kernel ``name`` finds of each volume of both, given ``how`` and at last the mask, or a part of ``out``."""
    view, rows = view_of(b), []
    index: tuple[int, ...] = ()
    for index, volume, inside in masked_volumes(a, mask, ndim):
        rows.append((_four(volume), _four(view[index]), _four(inside if out is None else out[index])))
    run = kernel(name, a)
    found = [one for first, second, last in merged(rows) for one in run(first, second, *how, last)]
    return tuple(i + 1 for i in index), found


def check_finite(x: Any, mask: Any, ndim: int | None, name: str) -> tuple[float, float]:
    """The smallest and the largest value of all volumes inside the mask, which are finite."""
    _, found = measured("moments", x, mask, ndim, None)
    bad = sum(one.nonfinite for one in found)
    where = "" if mask is None else " inside the mask"
    if bad:
        msg = f"{name} holds {bad} values{where} that are NaN or infinite"
        raise NonFiniteError(msg)
    held = [one for one in found if one.count]
    return min((one.low for one in held), default=0.0), max((one.high for one in held), default=0.0)


def check_data_range(data_range: Any, a: Any, mask: Any, ndim: int | None) -> float:
    """The range as a number above 0 that holds the values of ``a``.

    Raises
    ------
    ArgumentError
        It is no such number; the message tells what is there.
    NonFiniteError
        NaN or infinity inside the mask.
    """
    try:
        value = math.nan if isinstance(data_range, (bool, str)) else float(data_range)
    except (TypeError, ValueError):
        value = math.nan
    if not 0 < value < math.inf:
        msg = f"data_range={data_range!r}: expected a number above 0, the largest difference that there can be"
        raise ArgumentError(msg)
    low, high = check_finite(a, mask, ndim, "a")
    if high - low > value * (1 + _ROUNDING):
        msg = f"data_range={data_range!r}: a goes from {low:g} to {high:g}, a range of {high - low:g}"
        raise ArgumentError(msg)
    return value


def told(leading: tuple[int, ...], values: Sequence[float]) -> float | npt.NDArray[np.float64]:
    """A number of one volume, else an array (...)."""
    return np.array(values, np.float64).reshape(leading) if leading else float(values[0])


def _four(view: Any) -> Any:
    return None if view is None else with_shape(view, (1, *three(view.shape)))
