"""Fuzzy c-means of one number per voxel, on counts: what a class's values are, and how much each voxel is of it."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

_Array = npt.NDArray[np.float64]

#: More than tissues in a head.
MOST_CLASSES = 16
#: Columns done at once, so that they stay in the cache.
_BLOCK = 8192


class Classes(NamedTuple):
    """Centres in the order they were given in, iterations done, and the last change of the memberships."""

    centers: _Array
    iterations: int
    change: float


def fuzzy_means(values: _Array, counts: _Array, centers: _Array, *, tolerance: float, iterations: int) -> Classes:
    """Fuzzy c-means with exponent 2 (Bezdek 1981) of ``counts[k]`` voxels of each of ``values[k]``.

    ``c_i = sum u_i^2 x / sum u_i^2`` and ``u_i = d_i^-2 / sum_j d_j^-2`` by turns, d_i the distance to centre i, until
    the memberships of all voxels change by less than ``tolerance`` (Frobenius norm) or ``iterations`` are done.
    """
    # On a scale of their own the values have no units, and what counts as no distance has none either. Sums are
    # NumPy's: those of a matrix product depend on the threads of its library.
    low, span = float(values.min()), float(np.ptp(values))
    x, c = (values - low) / span, (np.asarray(centers, np.float64) - low) / span
    blocks = [slice(k, k + _BLOCK) for k in range(0, x.size, _BLOCK)]
    u = [memberships(x[b], c) for b in blocks]
    done, change = 0, np.inf
    while done < iterations and change >= tolerance:
        powers = [np.square(part) * counts[b] for part, b in zip(u, blocks, strict=True)]
        weight = sum(p.sum(axis=1) for p in powers)
        c = sum((p * x[b]).sum(axis=1) for p, b in zip(powers, blocks, strict=True)) / weight
        squares = 0.0
        for i, b in enumerate(blocks):
            new = memberships(x[b], c)
            squares += float((np.square(new - u[i]) * counts[b]).sum())
            u[i] = new
        done, change = done + 1, squares**0.5
    return Classes(low + span * c, done, change)


def memberships(values: _Array, centers: _Array) -> _Array:
    """How much each value (N,) is of each class (C,): (C, N), of sum 1."""
    nearness = 1 / np.maximum(np.square(values - centers[:, None]), least_distance(centers) ** 2)
    return np.asarray(nearness / nearness.sum(axis=0))


def least_distance(centers: _Array) -> float:
    """What is nearer than this is on a centre."""
    return float(np.finfo(np.float64).eps * (np.ptp(centers) or 1.0))


def tissue_means(values: _Array, counts: _Array, centers: _Array) -> _Array:
    """The mean of all voxels for each class, weighted by how much they are of it: (C,)."""
    shares = memberships(values, centers) * counts
    return np.asarray((shares * values).sum(axis=1) / shares.sum(axis=1))


def spread_out(values: _Array, counts: _Array, classes: int) -> _Array:
    """Centres to start from: quantiles from 0.1 to 0.9, evenly; of the distinct values where voxels tie."""
    below = np.cumsum(counts)
    found = values[np.searchsorted(below, np.linspace(0.1, 0.9, classes) * below[-1])]
    if np.unique(found).size < classes:
        found = values[np.linspace(0, values.size - 1, classes).astype(int)]
    return np.asarray(found)
