"""What the corrections of raw frames share: frames as kernels take them, and what a flat frame says of a detector."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np

from fastprep.core.errors import ArgumentError, NonFiniteError, ShapeError
from fastprep.core.image import Image
from fastprep.core.namespace import check_together, shape_of
from fastprep.ops._arrays import empty, view_of, with_shape
from fastprep.ops._masked import quantiles_of
from fastprep.registry import kernel


class Frame(NamedTuple):
    """Mean and variance (1, Y, X) float32 over the frames of a stack, and how many there were."""

    mean: Any
    variance: Any
    many: int


def plain(x: Any) -> Any:
    """The array of an Image, or an array as it is."""
    return x.array if isinstance(x, Image) else x


def averaged(name: str, x: Any, space: tuple[int, ...], beside: Any) -> Frame:
    """A frame of ``space``, or a stack of such frames, as their mean, in float64 sums.

    Raises
    ------
    ShapeError
        Another shape.
    DeviceError
        On another device than ``beside``.
    """
    array = plain(x)
    shape = shape_of(array)
    if shape[-2:] != space or len(shape) > 3 or 0 in shape:
        msg = f"{name} of shape {shape}: expected a frame {space}, or a stack of such frames"
        raise ShapeError(msg)
    check_together(**{"x": beside, name: array})
    count = shape[0] if len(shape) == 3 else 1
    mean, variance = (empty((1, *space), "float32", beside).view for _ in range(2))
    kernel("frames", beside)(with_shape(view_of(array), (count, 1, *space)), mean, variance)
    return Frame(mean, variance, count)


def light(flat: Frame, dark: Frame | None, beside: Any) -> Any:
    """``flat - dark`` (1, 1, Y, X) float32."""
    four = (1, *flat.mean.shape)
    out = empty(four, "float32", beside).view
    less = None if dark is None else with_shape(dark.mean, four)
    kernel("flat_field", beside)(with_shape(flat.mean, four), less, None, out)
    return out


def level_of(light: Any) -> float:
    """The median of ``flat - dark``.

    Raises
    ------
    NonFiniteError
        NaN or infinity.
    ArgumentError
        No light: it is not above 0.
    """
    try:
        level = float(quantiles_of(light[0], None, [0.5])[0])
    except NonFiniteError as error:
        msg = f"flat - dark: {error}"
        raise NonFiniteError(msg) from error
    if not level > 0:
        msg = f"flat - dark has the median {level:g}: expected a flat frame that is brighter than the dark one"
        raise ArgumentError(msg)
    return level


def by_chance(count: int, factor: float, *, tail: float = 4.75) -> float:
    """``factor`` times the median variance, or as many times as chance alone gives one pixel in a million.

    The variance of ``count`` frames of equal noise is a chi-square of ``count - 1`` degrees; its tail by the cube
    root of Wilson and Hilferty (1931).
    """
    share = 2 / (9 * (count - 1))
    return max(factor, ((1 - share + tail * math.sqrt(share)) / (1 - share)) ** 3)


def as_levels(level: float) -> Any:
    """A level as the kernel takes it."""
    return np.array([level])
