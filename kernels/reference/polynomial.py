"""A bias field as a polynomial, fitted to what log intensities are above the mean of their class."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from fastprep.core.lattice import Axis, terms
from fastprep.kernels.reference.n4 import change_of, histogram, logarithm

_Array = npt.NDArray[np.float64]

#: Of the trace of the normal equations, what is added to their diagonal.
RIDGE = 1e-8
#: Standard deviations of normal noise to the median of its absolute value.
_MAD = 1.4826
_MOST_MOVES = 100
#: Bins by which cuts may still move when they count as still.
_STILL = 1e-6


class Classes(NamedTuple):
    """The mean of its class for each bin, and the standard deviation of what lies between (from the median)."""

    mean: _Array
    spread: float


def polynomial(
    x: npt.NDArray[Any],
    mask: npt.NDArray[Any] | None,
    weights: npt.NDArray[Any] | None,
    label: float | None,
    axes: tuple[Axis, Axis, Axis],
    double_axes: tuple[Axis, Axis, Axis],
    order: int,
    classes: int,
    iterations: int,
    threshold: float,
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
    weight = np.broadcast_to(1.0 if weights is None else weights.astype(np.float64), x.shape)
    marked = np.broadcast_to(True if mask is None else (mask != 0 if label is None else mask == label), x.shape)
    finite = np.isfinite(x)
    marked = marked & (weight > 0)
    counted(np.stack([(marked & finite).sum(axis=(1, 2, 3)), (marked & ~finite).sum(axis=(1, 2, 3))], axis=1))
    found = np.zeros((many, *(axis.controls for axis in axes)))
    counts, changes = np.zeros((many, 1), np.int32), np.zeros((many, 1))
    degrees = terms(order)
    z, y, x_ = (axis.dense() for axis in axes)
    for b in range(many):
        inside = marked[b] & finite[b]
        at = np.nonzero(inside)
        logs = logarithm(x[b][inside])
        # (voxels, terms), the plain design matrix.
        design = np.stack([z[at[0], i] * y[at[1], j] * x_[at[2], k] for i, j, k in degrees], axis=1)
        average = design.mean(axis=0)
        coefficients, left = np.zeros(len(degrees)), logs
        for step in range(1, iterations + 1):
            away, trust = _judged(left, classes, loss, tuning, bins)
            trust = trust * weight[b][inside]
            normal = design.T @ (design * trust[:, None])
            normal += np.eye(len(degrees)) * (RIDGE * np.trace(normal) / len(degrees))
            coefficients = coefficients + np.linalg.solve(normal, design.T @ (trust * away))
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


def classify(counts: _Array, low: float, slope: float, classes: int) -> Classes:
    """One-dimensional k-means on a histogram, its start at even quantiles (Lloyd 1982).

    A bin is spread evenly over its width, so that everything here is continuous: were cuts between whole bins, rounding
    could move one.
    """
    bins = counts.size
    edges = np.arange(bins + 1.0)
    number = np.concatenate([[0], np.cumsum(counts)])
    mass = np.concatenate([[0], np.cumsum(counts * (low + slope * np.arange(bins)))])
    means = low + slope * (np.interp((np.arange(classes) + 0.5) / classes * number[-1], number, edges) - 0.5)
    cuts = np.zeros(classes + 1)
    for _ in range(_MOST_MOVES):
        middle = np.clip(((means[1:] + means[:-1]) / 2 - low) / slope + 0.5, 0, bins)
        still = np.abs(middle - cuts[1:-1]).max(initial=0) < _STILL
        cuts = np.concatenate([[0], middle, [bins]])
        share, total = np.diff(np.interp(cuts, edges, number)), np.diff(np.interp(cuts, edges, mass))
        means = np.where(share > 0, total / np.where(share > 0, share, 1), means)
        if still:
            break
    overlap = np.minimum(edges[1:], cuts[1:, None]) - np.maximum(edges[:-1], cuts[:-1, None])
    mean = means @ np.maximum(overlap, 0)
    away = np.minimum(np.abs(low + slope * np.arange(bins) - mean) / slope, bins - 1)
    base = np.floor(away).astype(int)
    part, above = away - base, np.minimum(base + 1, bins - 1)
    near = np.bincount(base, counts * (1 - part), bins) + np.bincount(above, counts * part, bins)
    before = np.concatenate([[0], np.cumsum(near)])
    bin_of = int(np.searchsorted(before[1:-1], before[-1] / 2, side="right"))
    median = bin_of - 0.5 + (before[-1] / 2 - before[bin_of]) / near[bin_of]
    return Classes(mean, _MAD * max(float(median), 0.5) * slope)


def _judged(left: npt.NDArray[np.float32], classes: int, loss: str, tuning: float, bins: int) -> tuple[_Array, _Array]:
    """How far voxels are from their class, and how much that is to be believed."""
    found = histogram(left, bins)
    if found is None:
        return np.zeros(left.shape), np.ones(left.shape)
    mean, spread = classify(found.counts, found.low, found.slope, classes)
    away = left - found.at_values(mean)
    size = np.abs(away) / (tuning * spread)
    if loss == "huber":
        return away, 1 / np.maximum(size, 1.0)
    if loss == "tukey":
        return away, np.maximum(1 - size**2, 0) ** 2
    return away, np.ones_like(away)
