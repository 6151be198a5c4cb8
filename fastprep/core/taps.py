"""Taps: which input voxels one output voxel of an axis is made of, and with what weights.

Everything separable is a table per axis: nearest one tap, linear two, cubic four on B-spline coefficients, and
anti-aliased variants as many as their Gaussian is long. Coordinates are float64 here, on the host.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from fastprep.core.border import mirrored

#: A coordinate this close to a boundary or a tie is on it: 0.1 * 3 must not fall beside 0.3.
_SNAP = 9
_POLE = math.sqrt(3.0) - 2.0
#: |pole| ** 20 is 4e-12.
_PREFILTER_RADIUS = 20
#: Full width at half maximum of a Gaussian of sigma 1.
_FWHM = 2 * math.sqrt(2 * math.log(2))


class Taps(NamedTuple):
    """``index`` and ``weight`` (taps, m); outputs ``start <= i < stop`` lie inside the input."""

    index: npt.NDArray[np.int64]  # type: ignore[assignment]  # hides tuple.index, which nobody asks for
    weight: npt.NDArray[np.float64]
    start: int
    stop: int


def axis_taps(scale: float, offset: float, m: int, n: int, *, order: int, antialias: bool = False) -> Taps:
    """Taps of ``m`` outputs at input index ``scale * i + offset`` of an axis of ``n`` voxels.

    Inside is ``-0.5 <= index < n - 0.5``; there nearest (ties upward) and linear clamp to the edge voxel, and
    cubic mirrors about the edge centres. Without ``antialias`` cubic weights apply to B-spline coefficients;
    with it the prefilter is part of the weights, and so is a Gaussian of
    ``sigma = sqrt(k**2 - 1) / (2 sqrt(2 ln 2))`` voxels for a step of k > 1 voxels, which leaves the output with the
    point spread of its own spacing (Cardoso et al. 2015).
    """
    at = np.round(scale * np.arange(m, dtype=np.float64) + offset, _SNAP)
    inside = np.flatnonzero((at >= -0.5) & (at < n - 0.5))
    start, stop = (int(inside[0]), int(inside[-1]) + 1) if inside.size else (0, 0)
    index, weight = _interpolate(at, n, order)
    if antialias and order == 3:
        index, weight = _convolve(index, weight, n, _spline_prefilter(), mirror=True)
    if antialias and order != 0 and abs(scale) > 1:
        index, weight = _convolve(index, weight, n, _gaussian(math.sqrt(scale**2 - 1) / _FWHM))
    return Taps(index, weight, start, stop)


def _interpolate(
    at: npt.NDArray[np.float64], n: int, order: int
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]:
    if order == 0:
        return _clamp(np.floor(at + 0.5)[None], n), np.ones((1, at.size))
    base = np.floor(at)
    t = at - base
    if order == 1:
        # On a voxel the other tap has no weight: it is the same voxel, so that no NaN reaches in from beside it.
        return _clamp(np.stack([base, base + (t > 0)]), n), np.stack([1 - t, t])
    w0, w1, w3 = (1 - t) ** 3 / 6, (3 * t**3 - 6 * t**2 + 4) / 6, t**3 / 6
    return mirrored(np.stack([base - 1, base, base + 1, base + 2]), n), np.stack([w0, w1, 1 - w0 - w1 - w3, w3])


def _convolve(
    index: npt.NDArray[np.int64],
    weight: npt.NDArray[np.float64],
    n: int,
    kernel: npt.NDArray[np.float64],
    *,
    mirror: bool = False,
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]:
    """Taps on a signal convolved with ``kernel``, as taps on the signal itself; equal indices merged."""
    reach = np.arange(kernel.size) - kernel.size // 2
    spread = (index[:, None, :] + reach[:, None]).reshape(-1, index.shape[1]).astype(np.float64)
    spread_index = mirrored(spread, n) if mirror else _clamp(spread, n)
    spread_weight = (weight[:, None, :] * kernel[:, None]).reshape(spread.shape)
    low = spread_index.min(axis=0)
    width = int((spread_index.max(axis=0) - low).max()) + 1
    merged = np.zeros((width, index.shape[1]))
    np.add.at(
        merged, (spread_index - low, np.broadcast_to(np.arange(index.shape[1]), spread_index.shape)), spread_weight
    )
    return np.minimum(low + np.arange(width)[:, None], n - 1), merged


def _gaussian(sigma: float) -> npt.NDArray[np.float64]:
    radius = int(4 * sigma + 0.5)
    g = np.exp(-0.5 * (np.arange(-radius, radius + 1) / sigma) ** 2)
    return np.asarray(g / g.sum())


def _spline_prefilter() -> npt.NDArray[np.float64]:
    """Impulse response of the cubic B-spline prefilter: ``-6 z / (1 - z**2) * z**|k|``, z = sqrt(3) - 2."""
    k = np.abs(np.arange(-_PREFILTER_RADIUS, _PREFILTER_RADIUS + 1))
    return np.asarray(-6 * _POLE / (1 - _POLE**2) * _POLE**k)


def _clamp(index: npt.NDArray[np.float64], n: int) -> npt.NDArray[np.int64]:
    return np.clip(index, 0, n - 1).astype(np.int64)
