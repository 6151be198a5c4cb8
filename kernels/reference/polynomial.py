"""A bias field as a polynomial, fitted to what log intensities are above their sharpened ones."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from fastprep.core.lattice import RIDGE, Axis, terms
from fastprep.core.sharpening import sharpened, spread_around
from fastprep.kernels.reference._inside import find
from fastprep.kernels.reference.n4 import change_of, histogram, logarithm

_Array = npt.NDArray[np.float64]


def polynomial(
    x: npt.NDArray[Any],
    mask: npt.NDArray[Any] | None,
    weights: npt.NDArray[Any] | None,
    label: float | None,
    axes: tuple[Axis, Axis, Axis],
    double_axes: tuple[Axis, Axis, Axis],
    order: int,
    iterations: int,
    threshold: float,
    relaxation: float,
    fwhm: float,
    noise: float,
    loss: str,
    tuning: float,
    bins: int,
    counted: Callable[[npt.NDArray[np.int64]], None],
    progress: Callable[[int, int, float], None] | None,
) -> tuple[_Array, npt.NDArray[np.int32], _Array]:
    """Coefficients (B, kz, ky, kx) of the log field, iterations and convergence (B, 1) of volumes (B, Z, Y, X).

    ``axes`` are Legendre polynomials up to ``order``, ``double_axes`` up to twice that, of which products of two
    consist. Mask, weights, label and ``counted`` are those of `n4`.
    """
    many = x.shape[0]
    where = find(x, mask, weights, label)
    counted(where.counts())
    found = np.zeros((many, *(axis.controls for axis in axes)))
    counts, changes = np.zeros((many, 1), np.int32), np.zeros((many, 1))
    degrees = terms(order)
    z, y, x_ = (axis.dense() for axis in axes)
    for b in range(many):
        inside = where.inside[b]
        at = np.nonzero(inside)
        logs = logarithm(x[b][inside])
        # (voxels, terms), the plain design matrix.
        design = np.stack([z[at[0], i] * y[at[1], j] * x_[at[2], k] for i, j, k in degrees], axis=1)
        average = design.mean(axis=0)
        coefficients, left = np.zeros(len(degrees)), logs
        for step in range(1, iterations + 1):
            away, trust = _judged(left, fwhm, noise, loss, tuning, bins)
            trust = trust * where.weight[b][inside]
            normal = design.T @ (design * trust[:, None])
            normal += np.eye(len(degrees)) * (RIDGE * np.trace(normal) / len(degrees))
            coefficients = coefficients + relaxation * np.linalg.solve(normal, design.T @ (trust * away))
            # The constant: a field whose logarithm has the mean zero.
            coefficients[0] -= coefficients @ average
            before, left = left, (logs - design @ coefficients).astype(np.float32)
            change = change_of(left - before)
            counts[b], changes[b] = step, change
            if progress is not None:
                progress(0, step, change)
            if change <= threshold:
                break
        found[(b, *degrees.T)] = coefficients
    return found, counts, changes


def _judged(
    left: npt.NDArray[np.float32], fwhm: float, noise: float, loss: str, tuning: float, bins: int
) -> tuple[_Array, _Array]:
    """How far voxels are from what is expected of them, and how much that is to be believed."""
    found = histogram(left, bins)
    if found is None:
        return np.zeros(left.shape), np.ones(left.shape)
    expected = sharpened(found.counts, found.low, found.slope, fwhm, noise)
    away = left - found.at_values(expected)
    size = np.abs(away) / (tuning * spread_around(expected, found.counts, found.low, found.slope))
    if loss == "huber":
        return away, 1 / np.maximum(size, 1.0)
    if loss == "tukey":
        return away, np.maximum(1 - size**2, 0) ** 2
    return away, np.ones_like(away)
