"""Structural similarity of two volumes."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import ndimage

_Array = npt.NDArray[np.float64]


def ssim(
    a: npt.NDArray[Any],
    b: npt.NDArray[Any],
    weights: tuple[_Array, _Array, _Array],
    reach: tuple[int, int, int],
    unbias: float,
    c1: float,
    c2: float,
    out: npt.NDArray[Any] | None,
) -> list[float]:
    """The mean over the voxels of each volume (B, Z, Y, X) whose window lies inside, NaN where there are none.

    ``s = (2 ma mb + c1) (2 cov + c2) / ((ma^2 + mb^2 + c1) (va + vb + c2))`` of local means, variances and covariance
    under symmetric ``weights`` (2 reach + 1,) along each axis, variances times ``unbias``. ``out``, where given, takes
    s of every voxel; beyond the border the image is mirrored, the border repeated.
    """
    inner = tuple(slice(r, n - r) for r, n in zip(reach, a.shape[1:], strict=True))
    means = []
    for i, (v, w) in enumerate(zip(a, b, strict=True)):
        s = _map(v.astype(np.float64), w.astype(np.float64), weights, unbias, c1, c2)
        if out is not None:
            out[i] = s
        inside = s[inner] if all(2 * r < n for r, n in zip(reach, s.shape, strict=True)) else s[:0]
        means.append(float(inside.mean()) if inside.size else math.nan)
    return means


def _map(a: _Array, b: _Array, weights: tuple[_Array, ...], unbias: float, c1: float, c2: float) -> _Array:
    with np.errstate(invalid="ignore", over="ignore"):
        ma, mb, aa, bb, ab = (_local(x, weights) for x in (a, b, a * a, b * b, a * b))
        va, vb, cov = (unbias * v for v in (aa - ma * ma, bb - mb * mb, ab - ma * mb))
        s = (2 * ma * mb + c1) * (2 * cov + c2) / ((ma * ma + mb * mb + c1) * (va + vb + c2))
    return np.asarray(s)


def _local(x: _Array, weights: tuple[_Array, ...]) -> _Array:
    for axis, w in enumerate(weights):
        if w.size > 1:
            x = ndimage.correlate1d(x, w, axis=axis, mode="reflect")
    return x
