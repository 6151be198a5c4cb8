"""Figures of one image, and of an image beside the truth: what a step did to contrast, noise and edges.

All are float64 and of the voxels inside a mask, of arrays of any library on the host or on a GPU. An image that is
sharper and noisier, too, is not better: read `edge_strength` beside the noise, or take `fastprep.qc.compare`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from fastprep.core.differences import Differences
from fastprep.core.errors import ArgumentError, NonFiniteError, ShapeError
from fastprep.core.image import Image
from fastprep.core.moments import Moments
from fastprep.core.namespace import shape_of
from fastprep.ops._arrays import three, with_shape
from fastprep.ops._masked import (
    counts_of,
    histogram_of,
    is_counted,
    masked_volumes,
    moments_of,
    numbers_of,
    quantiles_of,
)
from fastprep.ops._pairs import differences
from fastprep.registry import kernel

#: Bins in which other types than integers of 8 and 16 bits are counted.
_LEVELS = 1 << 16


@dataclass(frozen=True)
class DynamicRange:
    """Between which values nearly all lie, and how many different ones there are.

    Parameters
    ----------
    low, high : the 1st and the 99th percentile: no hot pixel widens them.
    levels : of integers of 8 and 16 bits how many values occur; of other types how many of 65536 equal bins are filled.
    """

    low: float
    high: float
    levels: int

    @property
    def width(self) -> float:
        """From low to high."""
        return self.high - self.low


def nmse(a: Any, b: Any, mask: Any = None) -> float:
    """Squared error beside the truth's own energy, ``sum((b - a)^2) / sum(a^2)``: 0 is the same, black is 1.

    Parameters
    ----------
    a : Image, or array (z, y, x) or (y, x): the truth.
    b : of the same shape and, of Images, on the same grid.
    mask : array or Image of that shape; non-zero is inside. None is everything.

    Raises
    ------
    ArgumentError
        A truth of zeros, or an empty mask.
    GeometryError, ShapeError, NonFiniteError, DeviceError
        As `fastprep.mse`.

    Examples
    --------
    >>> import numpy as np
    >>> round(nmse(np.array([[3.0, 4.0]]), np.array([[3.0, 4.5]])), 3)
    0.01
    """
    _, found = differences(a, b, mask)
    if len(found) != 1:
        raise _several(a)
    view, inside, _ = volume_of(a, mask)
    own = _finite(moments_of(view, inside), "a", mask)
    energy = own.m2 + own.count * own.mean**2
    if energy == 0:
        msg = "a is 0 everywhere: an error has nothing to be told beside"
        raise ArgumentError(msg)
    return found[0].square / energy


def contrast(x: Any, mask: Any = None) -> float:
    """RMS contrast: the standard deviation of the values, in their units (ddof 0; Peli 1990).

    Unlike ``(max - min) / (max + min)`` it is not decided by two voxels, and not 1 wherever the darkest is 0.

    Parameters
    ----------
    x : Image, or array (z, y, x) or (y, x).
    mask : array or Image of that shape; non-zero is inside. None is everything.

    Raises
    ------
    NonFiniteError, ArgumentError, ShapeError, DeviceError
        NaN or infinity inside the mask, an empty mask, a mask of another shape, or on another device.

    Examples
    --------
    >>> import numpy as np
    >>> contrast(np.array([[100, 200]], np.uint8))
    50.0
    """
    view, inside, _ = volume_of(x, mask)
    return _finite(moments_of(view, inside), "x", mask).std


def snr(x: Any, mask: Any = None, *, noise: float | None = None) -> float:
    """Signal to noise: the mean inside ``mask`` over the noise, which is the standard deviation there unless given.

    A mask of uniform tissue is meant: over a whole image the spread is anatomy. ``noise`` may be
    `fastprep.estimate_noise`.

    Parameters
    ----------
    x : Image, or array (z, y, x) or (y, x).
    mask : array or Image of that shape; non-zero is inside.
    noise : standard deviation of the noise, above 0.

    Raises
    ------
    ArgumentError
        No noise: one value only inside the mask, or ``noise`` not above 0; an empty mask.
    NonFiniteError, ShapeError, DeviceError
        As `contrast`.

    Examples
    --------
    >>> import numpy as np
    >>> snr(np.array([[90.0, 110.0]]))
    10.0
    """
    view, inside, _ = volume_of(x, mask)
    found = _finite(moments_of(view, inside), "x", mask)
    return found.mean / _above_zero(found.std if noise is None else noise)


def cnr(x: Any, a: Any, b: Any, *, noise: float | None = None) -> float:
    """Contrast to noise of two regions, ``|mean_a - mean_b| / noise``.

    Parameters
    ----------
    x : Image, or array (z, y, x) or (y, x).
    a, b : masks of that shape: a lesion and what is around it.
    noise : standard deviation of the noise; by default that of region ``b``.

    Raises
    ------
    ArgumentError, NonFiniteError, ShapeError, DeviceError
        As `snr`.

    Examples
    --------
    A nodule 40 above lung of 20 +- 5:

    >>> import numpy as np
    >>> x = np.array([[60.0, 60.0], [15.0, 25.0]])
    >>> cnr(x, x > 50, x < 50)
    8.0
    """
    (view, first, _), (_, second, _) = volume_of(x, a), volume_of(x, b)
    one, other = (_finite(moments_of(view, inside), "x", inside) for inside in (first, second))
    return abs(one.mean - other.mean) / _above_zero(other.std if noise is None else noise)


def entropy(x: Any, mask: Any = None, *, bins: int = 256) -> float:
    """Shannon's entropy of the histogram in bits, ``-sum(p log2 p)`` over ``bins`` equal bins from minimum to maximum.

    Of bins filled alike it is ``log2(bins)``, of a constant image 0. Noise raises it as much as detail does.

    Parameters
    ----------
    x : Image, or array (z, y, x) or (y, x).
    mask : array or Image of that shape; non-zero is inside. None is everything.
    bins : at least 2.

    Raises
    ------
    ArgumentError, NonFiniteError, ShapeError, DeviceError
        Fewer than 2 bins; else as `contrast`.

    Examples
    --------
    >>> import numpy as np
    >>> entropy(np.arange(256).reshape(16, 16)), entropy(np.zeros((4, 4)))
    (8.0, 0.0)
    """
    if isinstance(bins, bool) or not isinstance(bins, int) or bins < 2:
        msg = f"bins={bins!r}: expected a whole number of at least 2"
        raise ArgumentError(msg)
    view, inside, _ = volume_of(x, mask)
    found = _finite(moments_of(view, inside), "x", mask)
    if found.low == found.high:
        return 0.0
    counts = histogram_of(view, inside, found, bins).astype(np.float64)
    share = counts[counts > 0] / found.count
    return float(-(share * np.log2(share)).sum())


def dynamic_range(x: Any, mask: Any = None) -> DynamicRange:
    """The 1st and 99th percentile, and how many levels there are.

    Parameters
    ----------
    x : Image, or array (z, y, x) or (y, x).
    mask : array or Image of that shape; non-zero is inside. None is everything.

    Raises
    ------
    NonFiniteError, ArgumentError, ShapeError, DeviceError
        As `contrast`.

    Examples
    --------
    A step to 8 bits leaves a radiograph of 12 with a sixteenth of its levels:

    >>> import numpy as np
    >>> x = np.arange(4096, dtype=np.uint16).reshape(64, 64)
    >>> dynamic_range(x).levels, dynamic_range((x // 16).astype(np.uint8)).levels
    (4096, 256)
    """
    view, inside, _ = volume_of(x, mask)
    low, high = quantiles_of(view, inside, [0.01, 0.99]).tolist()
    if is_counted(view.dtype):
        levels = int(np.count_nonzero(counts_of(view, inside).counts))
    else:
        found = moments_of(view, inside)
        levels = int(np.count_nonzero(histogram_of(view, inside, found, _LEVELS))) if found.low < found.high else 1
    return DynamicRange(low, high, levels)


def edge_strength(x: Any, mask: Any = None) -> float:
    """The root mean square of the gradient, ``sqrt(mean(|grad x|^2))``, by central differences.

    Per mm of an Image, else per voxel. White noise of standard deviation s adds ``ndim s^2 / 2`` to the square (in
    voxels): it counts as edges, so that a gain of this figure says nothing without that of the noise.

    Parameters
    ----------
    x : Image, or array (z, y, x) or (y, x).
    mask : array or Image of that shape: where a difference has its middle inside. None is everything.

    Raises
    ------
    ShapeError
        Less than three voxels along every axis.
    NonFiniteError, ArgumentError, DeviceError
        As `contrast`; NaN counts that is next to a voxel inside the mask.

    Examples
    --------
    A ramp of 3 per voxel:

    >>> import numpy as np
    >>> edge_strength(np.arange(5.0) * np.full((5, 1), 3))
    3.0
    """
    view, inside, spacing = volume_of(x, mask)
    squares = []
    for axis, (n, step) in enumerate(zip(view.shape, spacing, strict=True)):
        if n < 3:
            continue
        before, middle, after = (_along(axis, k, n - 2 + k) for k in range(3))
        marks = None if inside is None else inside[middle]
        found = _difference(view[before], view[after], marks)
        if found.nonfinite:
            msg = f"x holds NaN or infinity beside {found.nonfinite} voxels{'' if mask is None else ' of the mask'}"
            raise NonFiniteError(msg)
        if found.count:
            squares.append(found.square / found.count / (2 * step) ** 2)
    if not squares and max(view.shape) >= 3:
        msg = "mask holds no voxel with neighbours on both sides: there is no gradient"
        raise ArgumentError(msg)
    if not squares:
        msg = f"x of shape {tuple(view.shape)}: expected three voxels along an axis at least, for a gradient"
        raise ShapeError(msg)
    return math.sqrt(sum(squares))


def _along(axis: int, start: int, stop: int) -> tuple[slice, ...]:
    return (*[slice(None)] * axis, slice(start, stop))


def _difference(a: Any, b: Any, mask: Any) -> Differences:
    shape = (1, *three(tuple(a.shape)))
    found: list[Differences] = kernel("errors", a)(
        with_shape(a, shape), with_shape(b, shape), None if mask is None else with_shape(mask, shape)
    )
    return found[0]


def volume_of(x: Any, mask: Any) -> tuple[Any, Any, tuple[float, ...]]:
    """The one volume of ``x``, its mask, and the step along each axis."""
    array, ndim = numbers_of(x)
    volumes = list(masked_volumes(array, mask, ndim))
    if len(volumes) != 1:
        raise _several(x)
    _, view, inside = volumes[0]
    return view, inside, x.spacing if isinstance(x, Image) else (1.0,) * view.ndim


def _several(x: Any) -> ShapeError:
    shape = shape_of(x.array if isinstance(x, Image) else x)
    return ShapeError(f"x of shape {shape}: expected one volume, a figure is of its values alone")


def _finite(found: Moments, name: str, mask: Any) -> Moments:
    if found.nonfinite:
        where = "" if mask is None else " inside the mask"
        msg = f"{name} holds {found.nonfinite} values{where} that are NaN or infinite"
        raise NonFiniteError(msg)
    if not found.count:
        msg = "mask holds no voxel: there is nothing to take a statistic of"
        raise ArgumentError(msg)
    return found


def _above_zero(noise: Any) -> float:
    value = math.nan if isinstance(noise, (bool, str)) else float(noise)
    if not 0 < value < math.inf:
        msg = f"noise={noise!r}: expected a standard deviation above 0"
        raise ArgumentError(msg)
    return value
