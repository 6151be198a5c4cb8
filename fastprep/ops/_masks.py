"""Masks as operations take them, and the millimetres they are measured in."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np

from fastprep.core.checks import check_space
from fastprep.core.errors import ArgumentError, DTypeError
from fastprep.core.grid import Grid, check_spacing
from fastprep.core.image import Image
from fastprep.core.namespace import shape_of
from fastprep.core.ramp import Ramp
from fastprep.ops._arrays import Output, empty, view_of, volumes
from fastprep.ops._pointwise import apply_ramps
from fastprep.registry import kernel

#: Of the rounding that a volume of whole voxels takes in mm.
_SLACK = 1e-9
#: Cosines between axes that are rounding.
_ORTHOGONAL = 1e-9


class Masks(NamedTuple):
    """The masks of an argument: its array, as bytes, and how it is cut into ``leading`` volumes of ``space`` axes."""

    given: Any
    array: Any
    bytes: Any
    leading: tuple[int, ...]
    space: tuple[int, ...]

    def pairs(self, out: Output) -> Iterator[tuple[Any, Any]]:
        """Masks and results (B, Z, Y, X), in as few pieces as can be."""
        whole = out.view[None] if isinstance(out.view, np.ndarray) else out.view.with_shape((1, *out.view.shape))
        for marks, result in volumes(self.bytes, whole, len(self.space)):
            yield marks, result[0]

    def wrapped(self, result: Any) -> Any:
        """``result`` as an array, or of an Image a label Image on its grid."""
        given = self.given
        return replace(given.with_array(result), kind="label") if isinstance(given, Image) else result


def masks_of(mask: Any, name: str = "mask") -> Masks:
    """An array (..., z, y, x) or (y, x), or an Image: not zero is set.

    Raises
    ------
    DTypeError
        Floats.
    ShapeError
        One axis, or one without a voxel.
    """
    array = mask.array if isinstance(mask, Image) else mask
    shape = shape_of(array)
    ndim = mask.grid.ndim if isinstance(mask, Image) else max(2, min(len(shape), 3))
    leading, space = check_space(shape, ndim, name=name)
    return Masks(mask, array, as_bytes(mask_view(array, name), array), leading, space)


def as_bytes(view: Any, array: Any) -> Any:
    """A mask as bytes of which those that are not 0 are set."""
    if isinstance(view, np.ndarray):
        return view != 0 if view.itemsize > 1 else view.view(np.uint8)
    if view.dtype.itemsize > 1:
        return view_of(apply_ramps(array, [Ramp()], dtype="bool"))
    return replace(view, dtype=np.dtype(np.uint8))


def mask_view(mask: Any, name: str = "mask") -> Any:
    """What kernels see of a mask.

    Raises
    ------
    DTypeError
        Floats: a probability is no mask until it is compared with something.
    """
    view = view_of(mask)
    if view.dtype.kind not in "biu":
        msg = f"{name} of dtype {view.dtype.name}: expected bool or integers; compare probabilities first, p > 0.5"
        raise DTypeError(msg)
    return view


def changed(name: str, masks: Masks, *how: Any) -> Any:
    """The masks that kernel ``name`` makes of others: bool, of the same library on the same device."""
    out = empty(masks.bytes.shape, "bool", masks.array)
    run = kernel(name, masks.array)
    for marks, result in masks.pairs(out):
        run(marks, *how, result)
    return masks.wrapped(out.finish())


def spacing_of(x: Any, spacing: Any, ndim: int | None = None) -> tuple[float, ...]:
    """Millimetres along the space axes, of an Image its own.

    Raises
    ------
    ArgumentError
        An array without one.
    """
    if spacing is None and isinstance(x, Image):
        return x.spacing
    if spacing is None:
        msg = "spacing is missing: millimetres along each axis, e.g. spacing=(2, 0.75, 0.75), or an Image"
        raise ArgumentError(msg)
    return check_spacing(spacing, len(tuple(spacing)) if ndim is None else ndim)


def cell_of(spacing: tuple[float, ...], grid: Grid | None) -> float:
    """What a voxel takes in mm3, or mm2; of a grid with that spacing what its axes span, sheared or not."""
    if grid is None or grid.spacing != spacing or grid.shear < _ORTHOGONAL:
        return math.prod(spacing)
    steps = grid.affine[:3, : grid.ndim]
    return math.sqrt(float(np.linalg.det(steps.T @ steps)))


def voxel_volume(x: Any, spacing: Any, ndim: int) -> float:
    """mm3 of a voxel, mm2 of a pixel, of an argument and its spacing."""
    grid = x.grid if spacing is None and isinstance(x, Image) else None
    return cell_of(spacing_of(x, spacing, ndim), grid)


def voxels_of(volume: float, voxel: float, rounded: Callable[[float], int], name: str) -> int:
    """``volume`` mm3 as voxels, `math.ceil` or `math.floor`; a volume of whole voxels is so many.

    Raises
    ------
    ArgumentError
        A volume that is negative or not finite.
    """
    if isinstance(volume, bool) or not 0 <= volume < math.inf:
        msg = f"{name}={volume!r}: expected a number of mm3, not negative"
        raise ArgumentError(msg)
    many = min(volume / voxel, 2.0**62)
    return rounded(many * (1 - _SLACK) if rounded is math.ceil else many * (1 + _SLACK))
