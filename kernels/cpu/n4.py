"""N4 bias field estimation (Tustison et al. 2010), as ITK computes it, in three passes an iteration.

On a regular grid the B-spline fit is a product of one factor per axis. Nothing is written per voxel but its log
intensity without the field so far.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from fastprep.core.lattice import Axis
from fastprep.core.sharpening import sharpened, step_between
from fastprep.kernels.cpu import _separable as separable
from fastprep.kernels.cpu._bias import Rows, binned, counts_of, find_all

_Array = npt.NDArray[np.float64]


def n4(
    x: npt.NDArray[Any],
    mask: npt.NDArray[Any] | None,
    weights: npt.NDArray[Any] | None,
    label: float | None,
    levels: Sequence[tuple[Axis, Axis, Axis]],
    growth: Sequence[tuple[_Array, _Array, _Array]],
    iterations: Sequence[int],
    threshold: float,
    fwhm: float,
    noise: float,
    bins: int,
    itk: bool,
    counted: Callable[[npt.NDArray[np.int64]], None],
    progress: Callable[[int, int, float], None] | None,
) -> tuple[_Array, npt.NDArray[np.int32], _Array]:
    """Lattice (B, kz, ky, kx) of the log field, iterations and convergence (B, levels) of volumes (B, Z, Y, X).

    ``mask`` and ``weights`` are (B, Z, Y, X) or of one volume for all; voxels count where the mask is ``label``, or not
    zero, and the weight is above 0. ``levels`` are the axes of each level's splines, ``growth`` the matrices that
    refine the lattice from one level to the next. ``counted`` gets, before anything is fitted, (B, 2) voxels that count
    and voxels inside that are not finite; those do not count.
    """
    many = x.shape[0]
    where = find_all(x, mask, weights, label)
    counted(counts_of(where))
    lattice = np.zeros((many, *(axis.controls for axis in levels[0])))
    counts, changes = np.zeros((many, len(levels)), np.int32), np.zeros((many, len(levels)))
    done = []
    for b in range(many):
        fit = _Fit(Rows(x[b], *where[b]), fwhm, noise, bins, itk)
        found = lattice[b]
        for level, axes in enumerate(levels):
            fit.begin(axes)
            for step in range(1, iterations[level] + 1):
                change = fit.improve(found)
                counts[b, level], changes[b, level] = step, change
                if progress is not None:
                    progress(level, step, change)
                if change <= threshold:
                    break
            if level < len(growth):
                found = np.einsum("abc,za,yb,xc->zyx", found, *growth[level], optimize=True)
        done.append(found)
    return np.stack(done), counts, changes


class _Fit:
    """One volume's fit."""

    def __init__(self, rows: Rows, fwhm: float, noise: float, bins: int, itk: bool) -> None:
        self.rows, self.fwhm, self.noise, self.bins, self.itk = rows, fwhm, noise, bins, itk
        self.range = rows.extremes()

    def begin(self, axes: tuple[Axis, Axis, Axis]) -> None:
        """A level: its tables, and how much weight each control value has."""
        squares = tuple(a.weight**2 for a in axes)
        cubes = tuple(a.weight**3 / s.sum(axis=1, keepdims=True) for a, s in zip(axes, squares, strict=True))
        self.basis, self.cubes = separable.table(axes), separable.table(axes, cubes)
        self.controls = tuple(a.controls for a in axes)
        self.density = self.rows.project(separable.table(axes, squares), self.controls, None)

    def improve(self, lattice: _Array) -> float:
        """One iteration; returns the change of the field."""
        low, high = self.range
        before = lattice.copy() if self.itk else lattice
        if low < high:
            slope = step_between(low, high, self.bins)
            counts = self.rows.histogram(low, slope, self.bins)
            expected = binned(low, slope, sharpened(counts, low, slope, self.fwhm, self.noise))
            sums = self.rows.project(self.cubes, self.controls, expected)
            lattice += np.divide(sums, self.density, out=np.zeros_like(sums), where=self.density > 0)
        new = self.rows.subtract(lattice, self.basis)
        self.range = new.low, new.high
        if self.itk:
            return self.rows.itk_change(before, lattice, self.basis)
        return new.relative(self.rows.count)
