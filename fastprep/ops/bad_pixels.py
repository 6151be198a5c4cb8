"""bad_pixels: what of a detector tells nothing of the patient."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from fastprep.core.errors import ShapeError
from fastprep.core.image import Image
from fastprep.core.namespace import shape_of
from fastprep.core.ramp import Ramp
from fastprep.ops._arrays import empty, with_shape
from fastprep.ops._detector import averaged, by_chance, level_of, light, plain
from fastprep.ops._masked import moments_of
from fastprep.ops._pointwise import apply_ramps
from fastprep.registry import kernel

#: A pixel and two to each side: a dead line or a cluster of three by three is the smaller part of it.
_REACH = (0, 2, 2)
_GAIN = 2.0
_VARIANCE, _SIGMA = 3.0, 3.0
#: Of fewer the variance is chance, and so is what is around it.
_LEAST_FRAMES = 8
#: The least light there is; what is not above 0 is dead.
_LEAST = 1e-30


@dataclass(frozen=True, eq=False)
class BadPixels:
    """The bad pixels of a detector.

    Attributes
    ----------
    mask : bool (y, x), what ``flat`` was, array or label Image.
    count, fraction : how many there are, and of all pixels.
    by_gain, by_flat_noise, by_dark_noise : how many each rule found first, in this order.
    """

    mask: Any = field(repr=False)
    count: int
    fraction: float
    by_gain: int
    by_flat_noise: int
    by_dark_noise: int

    def to_dict(self) -> dict[str, float]:
        """All but the mask, plain, for JSON."""
        rules = {name: getattr(self, name) for name in ("by_gain", "by_flat_noise", "by_dark_noise")}
        return {"count": self.count, "fraction": self.fraction, **rules}


def bad_pixels(flat: Any, dark: Any = None) -> BadPixels:
    """Bad pixels of a detector, from frames of an empty field and of darkness.

    A pixel is bad where, against the median of the 5x5 pixels around it,

    - its gain is below 0.5 or above 2 times that: ``flat - dark`` above 2 or below 0.5 times; a dead one has none;
    - the variance of its flat frames is above 3 times that;
    - the standard deviation of its dark frames is above 3 times that.

    Of few frames chance alone makes a variance large: both limits are at least what it gives one pixel in a million,
    and fewer than 8 frames are not asked. Against neighbours, not the whole field: the heel effect is no defect. A
    good detector has less than 0.1 % of bad pixels, in no clusters.

    Parameters
    ----------
    flat, dark : stacks (n, y, x) of raw frames, or 2-D Images of such; a single frame (y, x) tells of gain alone.
        Without dark frames 0 is dark.

    Raises
    ------
    ShapeError
        Frames of different shapes.
    NonFiniteError
        NaN or infinity in ``flat - dark``.
    ArgumentError
        A flat frame that is not brighter than the dark one.

    Examples
    --------
    >>> import numpy as np
    >>> flat = np.random.default_rng(0).poisson(1000, (10, 32, 32))
    >>> flat[:, 7] = 0
    >>> found = bad_pixels(flat)
    >>> found.count, bool(np.asarray(found.mask)[7].all())
    (32, True)
    """
    array = plain(flat)
    shape = shape_of(array)
    if len(shape) not in (2, 3) or 0 in shape:
        msg = f"flat of shape {shape}: expected a frame (y, x), or a stack (n, y, x) of such"
        raise ShapeError(msg)
    space = shape[-2:]
    bright = averaged("flat", array, space, array)
    less = None if dark is None else averaged("dark", dark, space, array)
    field = light(bright, less, array)
    level_of(field)
    marks = empty((1, *space), "uint8", array).view
    apply_ramps(bright.mean, [Ramp(0.0, 0.0)], dtype="uint8", into=marks)
    run = kernel("defects", array)
    run(with_shape(field, (1, *space)), None, _LEAST, np.inf, marks)
    run(with_shape(field, (1, *space)), _around(field, array), 1 / _GAIN, _GAIN, marks)
    found = [_count(marks)]
    for frame, factor in ((bright, _VARIANCE), (less, _SIGMA**2)):
        if frame is not None and frame.many >= _LEAST_FRAMES:
            near = _around(with_shape(frame.variance, (1, 1, *space)), array)
            run(frame.variance, near, 0.0, by_chance(frame.many, factor), marks)
        found.append(_count(marks))
    made = empty(space, "bool", array)
    apply_ramps(with_shape(marks, space), [Ramp()], dtype="bool", into=made.view)
    mask = made.finish()
    if isinstance(flat, Image):
        mask = replace(flat.with_array(mask), kind="label")
    rules = np.diff([0, *found]).tolist()
    return BadPixels(mask, found[-1], found[-1] / (space[0] * space[1]), *rules)


def _around(x: Any, beside: Any) -> Any:
    """The median around every pixel of (1, 1, Y, X), as (1, Y, X)."""
    out = empty(tuple(x.shape), "float32", beside).view
    kernel("median", beside)(x, out, _REACH)
    return with_shape(out, tuple(x.shape[1:]))


def _count(marks: Any) -> int:
    found = moments_of(marks, None)
    return round(found.mean * found.count)
