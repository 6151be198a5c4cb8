"""N4 bias field estimation (Tustison et al. 2010), as ITK computes it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from fastprep.core.lattice import Axis
from fastprep.core.sharpening import sharpened, step_between
from fastprep.kernels.reference._inside import find

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
    found = find(x, mask, weights, label)
    counted(found.counts())
    counts, changes = np.zeros((many, len(levels)), np.int32), np.zeros((many, len(levels)))
    lattices = []
    for b in range(many):
        inside, weight = found.inside[b], found.weight[b]
        logs = logarithm(np.where(inside, x[b], 0))
        field = np.zeros(x.shape[1:], np.float32)
        lattice = np.zeros([axis.controls for axis in levels[0]])
        for level, axes in enumerate(levels):
            bases = [axis.dense() for axis in axes]
            squares = [basis**2 for basis in bases]
            cubes = [basis**3 / (basis**2).sum(axis=1, keepdims=True) for basis in bases]
            density = _project(np.where(inside, weight, 0), squares)
            for step in range(1, iterations[level] + 1):
                residual = _residual((logs - field)[inside], fwhm, noise, bins)
                spread = np.zeros(x.shape[1:])
                spread[inside] = residual * weight[inside]
                sums = _project(spread, cubes)
                lattice += np.divide(sums, density, out=np.zeros_like(sums), where=density > 0)
                before, field = field, _expand(lattice, bases).astype(np.float32)
                ratios = (before - field)[inside]
                change = _itk_change(ratios) if itk else change_of(ratios)
                counts[b, level], changes[b, level] = step, change
                if progress is not None:
                    progress(level, step, change)
                if change <= threshold:
                    break
            if level < len(growth):
                lattice = _expand(lattice, growth[level])
        lattices.append(lattice)
    return np.stack(lattices), counts, changes


def _project(values: _Array, bases: Sequence[_Array]) -> _Array:
    total: _Array = np.einsum("zyx,za,yb,xc->abc", values, *bases, optimize=True)
    return total


def _expand(lattice: _Array, bases: Sequence[_Array]) -> _Array:
    field: _Array = np.einsum("abc,za,yb,xc->zyx", lattice, *bases, optimize=True)
    return field


class Histogram(NamedTuple):
    """Counts of values, and of each value its bin and how far it is into the next."""

    low: float
    slope: float
    counts: _Array
    base: npt.NDArray[np.int64]
    part: npt.NDArray[np.float32]

    def at_values(self, table: _Array) -> _Array:
        """A function of the bin, for each value."""
        after = np.minimum(self.base + 1, table.size - 1)
        return np.asarray(table[self.base] + (table[after] - table[self.base]) * self.part)


def logarithm(x: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
    """The logarithm in float32, as ITK has it; what is not above 0 keeps its value."""
    logs = x.astype(np.float32)
    np.log(logs, out=logs, where=logs > 0)
    return logs


def histogram(v: npt.NDArray[np.float32], bins: int) -> Histogram | None:
    """Values into bins, in float32; one between two counts in both, by its distance. None where all are alike."""
    if not v.size or not v.min() < v.max():
        return None
    low, slope = float(v.min()), step_between(v.min(), v.max(), bins)
    at = (v - np.float32(low)) / np.float32(slope)
    base = np.minimum(np.floor(at), bins - 1).astype(np.int64)
    part = at - base
    # What rounding put above the last bin is dropped.
    kept = at <= bins - 1
    counts: _Array = np.bincount(base[kept], 1.0 - part[kept], bins).astype(np.float64)
    counts += np.bincount(np.minimum(base + 1, bins - 1)[kept], part[kept], bins)
    return Histogram(low, slope, counts, base, np.clip(part, 0, 1))


def _residual(v: npt.NDArray[np.float32], fwhm: float, noise: float, bins: int) -> _Array:
    """What the voxels are above their sharpened intensity: the field that is still there, and noise."""
    found = histogram(v, bins)
    if found is None:
        return np.zeros(v.shape)
    return np.asarray(v - found.at_values(sharpened(found.counts, found.low, found.slope, fwhm, noise)))


def change_of(differences: npt.NDArray[Any]) -> float:
    """The coefficient of variation of the ratio of two fields."""
    ratios = np.exp(differences.astype(np.float64))
    return float(ratios.std(ddof=1) / ratios.mean()) if ratios.size > 1 else 0.0


def _itk_change(differences: npt.NDArray[Any]) -> float:
    """The same as ITK finds it: a running mean in float32, which no longer moves after some 20,000 voxels."""
    mean, spread, count = np.float32(0), np.float32(0), np.float32(0)
    for ratio in np.exp(differences.astype(np.float32)):
        count = np.float32(count + 1)
        n = float(count)
        if n > 1:
            spread = np.float32(float(spread) + float(np.float32((ratio - mean) ** 2)) * (n - 1) / n)
        mean = np.float32(float(mean) * (1 - 1 / n) + float(np.float32(ratio / count)))
    return float(np.sqrt(np.float32(spread / (count - 1))) / mean) if count > 1 else 0.0
