"""Non-local means: each voxel as the mean of those around it whose patches look like its own."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import numpy.typing as npt

from fastprep.core.similar import patch_window, quick_weight

_Array = npt.NDArray[np.float64]


def nlm(
    x: npt.NDArray[Any],
    out: npt.NDArray[Any],
    radius: tuple[int, ...],
    reach: tuple[int, ...],
    sigmas: npt.NDArray[np.float64],
    h: float,
    rician: bool,
    compatible: bool,
) -> None:
    """``out`` = sum of w x(p + t) over sum of w, t up to ``reach`` along each axis: all (B, Z, Y, X).

    ``w = exp(-max(d2 - 2 sigma^2, 0) / (h sigma)^2)``, d2 the mean squared difference of the patches of ``radius``
    around p and p + t; where ``sigma`` is 0, 1 of patches that are equal, else 0. The image is mirrored at its border,
    which is not repeated. ``rician``: of squares, less 2 sigma^2. ``compatible``: scikit-image's fast mode, where ``h``
    is that of patches, not of sigma.
    """
    for volume, result, sigma in zip(x, out, sigmas, strict=True):
        result[...] = _nlm(volume.astype(np.float64), radius, reach, float(sigma), h, rician, compatible)


def _nlm(
    x: _Array, radius: tuple[int, ...], reach: tuple[int, ...], sigma: float, h: float, rician: bool, compatible: bool
) -> _Array:
    pad = [(r + s, r + s) for r, s in zip(radius, reach, strict=True)]
    around = np.pad(x, pad, mode="reflect")
    values = around**2 if rician else around
    total, weights = np.zeros(x.shape), np.zeros(x.shape)
    for t in itertools.product(*(range(-s, s + 1) for s in reach)):
        # Patches of the voxels of x lie within `radius` of them.
        d = _part(around, x.shape, reach, (0, 0, 0), radius) - _part(around, x.shape, reach, t, radius)
        if compatible:
            distance = _box(d * d - 2 * sigma**2, [patch_window(r) for r in radius], radius)
            distance = np.maximum(distance, 0) / (h**2 * np.prod([2 * r + 1 for r in radius]))
            w = quick_weight(distance)
        else:
            mean = _box(d * d, [(-r, r) for r in radius], radius) / np.prod([2 * r + 1 for r in radius])
            w = np.exp(-np.maximum(mean - 2 * sigma**2, 0) / (h * sigma) ** 2) if sigma > 0 else (mean == 0) * 1.0
        total += w * _part(values, x.shape, [r + s for r, s in zip(radius, reach, strict=True)], t, (0, 0, 0))
        weights += w
    mean = total / weights
    return np.sqrt(np.maximum(mean - 2 * sigma**2, 0)) if rician else mean


def _part(a: _Array, shape: tuple[int, ...], start: Any, t: tuple[int, ...], margin: tuple[int, ...]) -> _Array:
    """``shape`` and a margin of ``a``, from ``start`` moved by ``t``."""
    first = [s + k for s, k in zip(start, t, strict=True)]
    return a[tuple(slice(f, f + n + 2 * m) for f, n, m in zip(first, shape, margin, strict=True))]


def _box(a: _Array, window: list[tuple[int, int]], radius: tuple[int, ...]) -> _Array:
    """Sums over the window around each voxel, without the margin of ``radius``."""
    for axis, ((low, high), r) in enumerate(zip(window, radius, strict=True)):
        n = a.shape[axis] - 2 * r
        a = np.sum([np.take(a, range(r + e, r + e + n), axis) for e in range(low, high + 1)], axis=0)
    return a
