"""n4: the smooth field that makes the tissues of an MR image unlike themselves, and the image without it."""

from __future__ import annotations

import math
import numbers
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np

from fastprep.core.errors import ArgumentError
from fastprep.core.lattice import Even, Splines
from fastprep.ops._bias import (
    BiasField,
    Fit,
    Scan,
    check_counts,
    check_nan,
    check_positive,
    check_whole,
    finished,
    per_axis,
    scan_of,
    three_axes,
)
from fastprep.registry import kernel

_ORDERS = (1, 2, 3)
_MOST_BINS = 512
#: A lattice of so many along each axis is as large as an image.
_MOST_CONTROLS = 256


def n4(
    x: Any,
    mask: Any = None,
    *,
    weights: Any = None,
    label: int | None = None,
    iterations: Sequence[int] = (50, 50, 50, 50),
    shrink_factor: int | Sequence[int] = 1,
    convergence: str = "exact",
    convergence_threshold: float = 1e-3,
    bias_field_fwhm: float = 0.15,
    wiener_noise: float = 0.01,
    histogram_bins: int = 200,
    control_points: int | Sequence[int] = 4,
    spline_order: int = 3,
    spline_spacing: float | None = None,
    spacing: Sequence[float] | None = None,
    nan: str = "raise",
    progress: Callable[[int, int, float], None] | None = None,
) -> BiasField:
    """N4ITK bias field correction, equal to ITK's within 1e-4 of the log field.

    The log of the image is tissue plus a smooth field. Each iteration sharpens the histogram of what is left of it by a
    Wiener deconvolution with a Gaussian (``bias_field_fwhm``, ``wiener_noise``), takes the difference from the
    sharpened intensities for the field that is still there, fits B-splines to it (Lee, Wolberg and Shin 1997), and adds
    them. Each level halves the spans of the splines. An iteration ends its level when the coefficient of variation of
    ``exp(old field - new field)`` is at most ``convergence_threshold``.

    Parameters
    ----------
    x : Image, or array (..., z, y, x) or (y, x); leading axes are a batch, each volume fitted by itself. The last
        ``len(spacing)`` axes are space, or those of the mask.
    mask : array or Image of the same space axes; voxels count where it is ``label``, or not zero without one. By
        default all count, the background too: give a mask. Values not above 0 stay out of the logarithm, as in ITK.
    weights : confidence of each voxel, of the mask's shape; only voxels above 0 count.
    iterations : most iterations of each level; as many levels as numbers.
    shrink_factor : every how many voxels are looked at, one number or one per axis; the field is made for all. Along
        an axis of which this leaves one voxel the field does not change.
    convergence : "exact" (float64), or "itk": the running mean in float32 that ITK has, which stops levels elsewhere,
        one voxel after the other.
    control_points : of the first level along each axis, one number or one per axis, above ``spline_order``.
    spline_order : 3, 2 or 1.
    spline_spacing : span of the first level's splines in mm, as in ANTs, instead of ``control_points``.
    spacing : mm per voxel along the space axes; an Image has its own.
    nan : "raise", or "ignore": NaN and infinity inside the mask are left out, and stay what they are.
    progress : called as ``progress(level, iteration, convergence)`` after each iteration, levels counted from 0 and
        iterations from 1; what it raises ends the estimation. On a GPU it waits for each iteration.

    Returns
    -------
    BiasField
        ``corrected`` (floats keep their dtype, integers become float32), ``log_field``, ``lattice``, ``iterations``,
        ``convergence``, and ``evaluate`` for other grids. A constant image has no field.

    Raises
    ------
    ArgumentError
        No voxel inside; a number out of its domain; more than 256 control values along an axis at the last level.
    ShapeError
        A mask or weights of another shape.
    NonFiniteError
        NaN or infinity inside the mask.
    GeometryError
        Images of a mask or weights on another grid.

    Notes
    -----
    Source: Tustison et al. 2010, "N4ITK: improved N3 bias correction", IEEE TMI 29(6).

    Examples
    --------
    A head in a coil that hears one side better:

    >>> import numpy as np
    >>> z, y, x = np.ogrid[-1:1:24j, -1:1:24j, -1:1:24j]
    >>> head = np.where(z**2 + y**2 + x**2 < 0.8, np.where(z**2 + y**2 + x**2 < 0.3, 90.0, 60.0), 0.0)
    >>> result = n4(head * np.exp(0.3 * x), head > 0, iterations=(30, 30))
    >>> inner = result.corrected[head == 90]
    >>> bool(inner.std() / inner.mean() < 0.05)
    True
    """
    scan = scan_of(x, mask, weights, spacing)
    _check(iterations, convergence, spline_order, histogram_bins, nan)
    check_positive(bias_field_fwhm=bias_field_fwhm, wiener_noise=wiener_noise)
    factors = per_axis("shrink_factor", shrink_factor, scan.space, least=1)
    bases: tuple[Splines | Even, ...] = tuple(
        b if b.padded // f > 1 else Even(b.n, spline_order + 1)
        for b, f in zip(_first_bases(scan, control_points, spline_order, spline_spacing), factors, strict=True)
    )
    part = [b.sampled(f)[0] for b, f in zip(bases, factors, strict=True)]
    taken = (*[slice(None)] * (4 - len(part)), *part)
    levels, growth = [], []
    for level in range(len(iterations)):
        if level:
            bases, matrices = zip(*(b.refined() for b in bases), strict=True)
            idle = (np.eye(spline_order + 1),) * (3 - len(bases))
            growth.append((*idle, *matrices))
        levels.append(three_axes(tuple(b.sampled(f)[1] for b, f in zip(bases, factors, strict=True))))
    finest = max(axis.controls for axis in levels[-1])
    if finest > _MOST_CONTROLS:
        msg = (
            f"{finest} control values along an axis at the last level: expected at most {_MOST_CONTROLS}; give fewer "
            "levels, fewer control_points, or a wider spline_spacing"
        )
        raise ArgumentError(msg)
    among = f" of those that shrink_factor={shrink_factor} leaves" if max(factors) > 1 else ""
    found = kernel("n4", scan.array)(
        scan.volumes[taken],
        None if scan.mask is None else scan.mask[taken],
        None if scan.weights is None else scan.weights[taken],
        label,
        levels,
        growth,
        [int(n) for n in iterations],
        float(convergence_threshold),
        float(bias_field_fwhm),
        float(wiener_noise),
        int(histogram_bins),
        convergence == "itk",
        partial(check_counts, nan=nan, among=among),
        progress,
    )
    return finished("n4", scan, Fit(*found), bases)


def _check(iterations: Sequence[int], convergence: str, order: int, bins: int, nan: str) -> None:
    counts = tuple(iterations) if isinstance(iterations, Sequence) else ()
    if not counts or not all(isinstance(n, numbers.Integral) and n >= 1 for n in counts):
        msg = f"iterations={iterations!r}: expected a list of whole numbers of at least 1, one per level"
        raise ArgumentError(msg)
    if convergence not in ("exact", "itk"):
        msg = f"convergence={convergence!r}: expected 'exact' or 'itk'"
        raise ArgumentError(msg)
    if order not in _ORDERS:
        msg = f"spline_order={order!r}: expected one of {', '.join(map(str, _ORDERS))}"
        raise ArgumentError(msg)
    check_whole(histogram_bins=(bins, 2, _MOST_BINS))
    check_nan(nan)


def _first_bases(
    scan: Scan, control_points: int | Sequence[int], order: int, spline_spacing: float | None
) -> tuple[Splines, ...]:
    """The splines of the first level; a distance in mm makes the image whole spans long, as ANTs pads it."""
    if spline_spacing is None:
        counts = per_axis("control_points", control_points, scan.space, least=order + 1)
        return tuple(Splines(n, c - order, order) for n, c in zip(scan.space, counts, strict=True))
    check_positive(spline_spacing=spline_spacing)
    if scan.spacing is None:
        msg = f"spline_spacing={spline_spacing} mm: expected an Image, or spacing= of the array"
        raise ArgumentError(msg)
    bases = []
    for n, step in zip(scan.space, scan.spacing, strict=True):
        length = (n - 1) * step
        spans = max(1, math.ceil(length / spline_spacing))
        extra = int((spans * spline_spacing - length) / step + 0.5)
        bases.append(Splines(n, spans, order, before=extra // 2, after=extra - extra // 2))
    return tuple(bases)
