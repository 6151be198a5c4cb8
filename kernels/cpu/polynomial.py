"""A bias field as a polynomial, fitted to what log intensities are above their sharpened ones.

The normal equations hold sums of products of two polynomials, and such a product is a sum of polynomials up to twice
the order: so it is enough to sum the weights against those, one axis after the other.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from fastprep.core.lattice import RIDGE, Axis, products, terms
from fastprep.core.sharpening import sharpened, spread_around, step_between
from fastprep.kernels.cpu import _separable as separable
from fastprep.kernels.cpu._bias import Rows, binned, counts_of, find_all

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
    where = find_all(x, mask, weights, label)
    counted(counts_of(where))
    shape, double = tuple(a.controls for a in axes), tuple(a.controls for a in double_axes)
    once, twice = separable.table(axes), separable.table(double_axes)
    found = np.zeros((many, *shape))
    counts, changes = np.zeros((many, 1), np.int32), np.zeros((many, 1))
    for b in range(many):
        rows = Rows(x[b], *where[b])
        weighted, rows.weighted = rows.weighted, False
        share = rows.project(once, shape, None) / rows.count
        rows.weighted = weighted
        low, high = rows.extremes()
        for step in range(1, iterations + 1):
            if low < high:
                slope = step_between(low, high, bins)
                numbers = rows.histogram(low, slope, bins)
                values = sharpened(numbers, low, slope, fwhm, noise)
                expected, scale = binned(low, slope, values), tuning * spread_around(values, numbers, low, slope)
                moments = rows.project(twice, double, expected, loss=loss, scale=scale, residuals=False)
                sums = rows.project(once, shape, expected, loss=loss, scale=scale)
                found[b] += relaxation * solved(moments, sums, order)
                # The constant: a field whose logarithm has the mean zero.
                found[b, 0, 0, 0] -= (found[b] * share).sum()
            new = rows.subtract(found[b], once)
            low, high = new.low, new.high
            change = new.relative(rows.count)
            counts[b], changes[b] = step, change
            if progress is not None:
                progress(0, step, change)
            if change <= threshold:
                break
    return found, counts, changes


def solved(moments: _Array, sums: _Array, order: int) -> _Array:
    """Coefficients from the sums of weights and of weighted residuals."""
    degrees, table = terms(order), products(order)
    z, y, x = (table[np.ix_(d, d)] for d in degrees.T)
    normal = np.einsum("sta,stb,stc,abc->st", z, y, x, moments, optimize=True)
    normal += np.eye(len(degrees)) * (RIDGE * np.trace(normal) / len(degrees))
    coefficients = np.zeros(sums.shape)
    coefficients[tuple(degrees.T)] = np.linalg.solve(normal, sums[tuple(degrees.T)])
    return coefficients
