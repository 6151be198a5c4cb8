"""What the statistics share: volumes with their masks, and answers that make sense of them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

from fastprep.core.checks import check_space
from fastprep.core.device_view import DeviceView, DType
from fastprep.core.distribution import Distribution
from fastprep.core.errors import ArgumentError, NonFiniteError, ShapeError
from fastprep.core.image import Image
from fastprep.core.moments import Moments
from fastprep.core.namespace import check_together, shape_of
from fastprep.core.order_statistics import OrderStatistics
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


def measured(name: str, x: Any, mask: Any, ndim: int | None, *how: Any) -> tuple[tuple[int, ...], list[Any]]:
    """The leading axes of ``x``, and what kernel ``name`` finds of each volume; on a GPU of all in one go."""
    volumes = list(masked_volumes(x, mask, ndim))
    leading = tuple(i + 1 for i in volumes[-1][0])
    run = kernel(name, x)
    fours = merged([_four(view, inside) for _, view, inside in volumes])
    return leading, [found for four in fours for found in run(*four, *how)]


def moments_of(view: Any, mask: Any, between: tuple[float, float] | None = None) -> Moments:
    """The moments of one volume, whatever they are; of the values between two numbers, neither included."""
    found: list[Moments] = kernel("moments", view)(*_four(view, mask), between)
    return found[0]


def spread_of(view: Any, mask: Any) -> Moments:
    """The moments of one volume whose values differ.

    Raises
    ------
    NonFiniteError
        NaN or infinity inside the mask.
    ArgumentError
        No voxel inside the mask, or one value only.
    """
    return _with_spread(moments_of(view, mask), mask)


def spreads_of(x: Any, mask: Any, ndim: int | None) -> list[Moments]:
    """The same of every volume, on a GPU in one go."""
    return [_with_spread(found, mask) for found in measured("moments", x, mask, ndim, None)[1]]


def order_of(view: Any, mask: Any, q: npt.NDArray[np.float64]) -> OrderStatistics:
    """The values of one volume either side of each quantile, for ``q`` (Q,) in [0, 1], whatever they are."""
    found: list[OrderStatistics] = kernel("percentile", view)(*_four(view, mask), q)
    return found[0]


def quantiles_of(view: Any, mask: Any, q: npt.ArrayLike) -> npt.NDArray[np.float64]:
    """``(Q,)`` quantiles of one volume, in float64, for ``q`` in [0, 1].

    Raises
    ------
    NonFiniteError
        NaN or infinity inside the mask.
    ArgumentError
        No voxel inside the mask.
    """
    wanted = np.array(q, np.float64)
    found = order_of(view, mask, wanted)
    if found.nan or found.infinite:
        _check_finite(moments_of(view, mask).nonfinite, found.count, mask)
    _check_finite(0, found.count, mask)
    return found.quantiles(wanted)


def distribution_of(view: Any, mask: Any, bins: int) -> Distribution:
    """How often the values of one volume occur, from their minimum to their maximum.

    A bin for each whole number of bool and of integers of 8 and 16 bits; of other types ``bins`` equal ones, of which
    the first begins with the minimum and the last ends with the maximum.

    Raises
    ------
    NonFiniteError
        NaN or infinity inside the mask.
    ArgumentError
        No voxel inside the mask, or one value only.
    """
    if is_counted(view.dtype):
        exact = counts_of(view, mask)
        _check_spread(exact.centers[0], exact.centers[-1], mask)
        return exact
    found = spread_of(view, mask)
    counts = histogram_of(view, mask, found, bins)
    width = found.high / bins - found.low / bins
    return Distribution(found.low + width / 2, width, counts)


def is_counted(dtype: DType) -> bool:
    """Whether each value of a type can have a count of its own: bool, and integers of 8 and 16 bits."""
    return dtype.kind in "biu" and dtype.itemsize <= 2


def counts_of(view: Any, mask: Any) -> Distribution:
    """How often each whole number occurs in one volume of such a type, from its minimum to its maximum.

    Raises
    ------
    ArgumentError
        No voxel inside the mask.
    """
    counts = kernel("counts", view)(*_four(view, mask))[0]
    there = np.flatnonzero(counts)
    _check_finite(0, there.size, mask)
    first, last = int(there[0]), int(there[-1])
    lowest = int(np.iinfo(view.dtype).min) if view.dtype.kind == "i" else 0
    return Distribution(float(first + lowest), 1.0, counts[first : last + 1], is_exact=True)


def histogram_of(view: Any, mask: Any, found: Moments, bins: int) -> npt.NDArray[np.uint64]:
    """``(bins,)`` counts of one volume in equal bins from its minimum to its maximum."""
    ends = np.array([found.low]), np.array([found.high])
    counts: npt.NDArray[np.uint64] = kernel("histogram", view)(*_four(view, mask), *ends, bins)[0]
    return counts


def merged(fours: list[tuple[Any, ...]]) -> list[tuple[Any, ...]]:
    """Volumes (1, Z, Y, X) and what goes with them (or None); on a GPU one (B, Z, Y, X) if equal steps part them."""
    if not isinstance(fours[0][0], DeviceView):
        return fours
    whole = []
    for column in zip(*fours, strict=True):
        first = column[0]
        steps = {b.address - a.address for a, b in pairwise(column)} if first is not None else set[int]()
        if len(steps) > 1:
            return fours
        step = steps.pop() // first.dtype.itemsize if steps else 0
        strides = None if first is None else (step, *first.strides[1:])
        whole.append(strides and replace(first, shape=(len(fours), *first.shape[1:]), strides=strides))
    return [tuple(whole)]


def _four(view: Any, mask: Any) -> tuple[Any, Any]:
    """One volume and its mask as kernels take them, (1, Z, Y, X)."""
    shape = (1, *three(view.shape))
    return with_shape(view, shape), None if mask is None else with_shape(mask, shape)


def _with_spread(found: Moments, mask: Any) -> Moments:
    _check_finite(found.nonfinite, found.count, mask)
    _check_spread(found.low, found.high, mask)
    return found


def _check_finite(nonfinite: int, count: int, mask: Any) -> None:
    if nonfinite:
        msg = f"x holds {nonfinite} values{_where(mask)} that are NaN or infinite"
        raise NonFiniteError(msg)
    if count == 0:
        msg = "mask holds no voxel: there is nothing to take a statistic of"
        raise ArgumentError(msg)


def _check_spread(low: float, high: float, mask: Any) -> None:
    if low == high:
        msg = f"x is constant{_where(mask)}, {low:g}: its values tell nothing apart"
        raise ArgumentError(msg)


def _where(mask: Any) -> str:
    return "" if mask is None else " inside the mask"
