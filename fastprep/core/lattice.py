"""Lattices: smooth fields as few control values, one factor per axis.

A field is ``f[z, y, x] = sum c[a, b, c] Z[z, a] Y[y, b] X[x, c]``. An axis is a table: for every voxel the first
control value it depends on, and the weights of that one and its neighbours. Coordinates are float64, on the host.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

_Array = npt.NDArray[np.float64]
_Floats = npt.NDArray[np.float32]

#: A voxel this close to the end of the last span is in it: ITK's tolerance, in voxels.
_END = 1e-3
#: Of the trace of normal equations, what is added to their diagonal: where voxels say nothing, neither does the fit.
RIDGE = 1e-8
#: Shares below this are no more than rounding.
_LEAST = 1e-30
#: Nodes of a smoothed image per standard deviation, and standard deviations a Gaussian is long.
_NODES, _REACH = 3, 4


class Axis(NamedTuple):
    """``first`` (n,) control value of each voxel, ``weight`` (n, taps), and how many ``controls`` there are."""

    first: npt.NDArray[np.int32]
    weight: _Array
    controls: int

    def dense(self) -> _Array:
        """The table as a matrix (n, controls)."""
        n, taps = self.weight.shape
        matrix = np.zeros((n, self.controls))
        np.put_along_axis(matrix, self.first[:, None] + np.arange(taps), self.weight, axis=1)
        return matrix


class Basis(Protocol):
    """The functions along an axis of ``n`` voxels, as `axis` tabulates them."""

    @property
    def n(self) -> int:
        """Voxels."""
        ...

    def axis(self, at: _Array) -> Axis:
        """Their values at voxel coordinates ``at``, evenly spaced; beyond the ends those at the ends."""
        ...


@dataclass(frozen=True)
class Splines:
    """Uniform B-splines of ``order`` in ``spans`` over ``n`` voxels, and voxels that are not there on both sides."""

    n: int
    spans: int
    order: int = 3
    before: int = 0
    after: int = 0

    @property
    def padded(self) -> int:
        """Voxels, those that are not there among them."""
        return self.n + self.before + self.after

    def axis(self, at: _Array) -> Axis:
        """The splines at voxel coordinates."""
        scale = self.spans / (self.padded - 1)
        step = abs(at[1] - at[0]) * scale if at.size > 1 else scale
        return self._table((at + self.before) * scale, step)

    def sampled(self, factor: int) -> tuple[slice, Axis]:
        """Every ``factor``-th voxel as ITK's shrinking takes them, and the splines stretched over what it leaves."""
        size = self.padded // factor
        skipped = max(0, math.floor((self.padded - 1) / 2 - (size - 1) * factor / 2 + 0.5))
        taken = np.arange(size) * factor + skipped - self.before
        there = np.flatnonzero((taken >= 0) & (taken < self.n))
        low, high = int(there[0]), int(there[-1])
        part = slice(int(taken[low]), int(taken[high]) + 1, factor)
        step = self.spans / (size - 1)
        return part, self._table(np.arange(low, high + 1, dtype=np.float64) * step, step)

    def refined(self) -> tuple[Splines, _Array]:
        """The same splines on half the span, and the matrix that gives their control values."""
        return replace(self, spans=2 * self.spans), _refinement(self.spans + self.order, self.order)

    def _table(self, at: _Array, step: float) -> Axis:
        at = np.clip(at, 0, self.spans - _END * step)
        first = np.clip(np.floor(at), 0, self.spans - 1).astype(np.int32)
        reach = at - first + 0.5 * (self.order - 1)
        weight = np.stack([_b_spline(reach - j, self.order) for j in range(self.order + 1)], axis=1)
        return Axis(first, weight, self.spans + self.order)


@dataclass(frozen=True)
class Even:
    """Nothing changes along an axis, for want of voxels; of its control values all but the first are without weight."""

    n: int
    taps: int

    def axis(self, at: _Array) -> Axis:
        """The same at every coordinate."""
        return idle_axis(at.size, self.taps)

    def sampled(self, _factor: int) -> tuple[slice, Axis]:
        """The voxel in the middle."""
        middle = (self.n - 1) // 2
        return slice(middle, middle + 1), idle_axis(1, self.taps)

    def refined(self) -> tuple[Even, _Array]:
        """The same."""
        return self, np.eye(self.taps)


@dataclass(frozen=True)
class Legendre:
    """Legendre polynomials up to ``order`` on the ``n`` voxels of an axis as -1 to 1."""

    n: int
    order: int

    def axis(self, at: _Array) -> Axis:
        """The polynomials at voxel coordinates."""
        scaled = np.clip(2 * at / (self.n - 1) - 1, -1, 1)
        weight = np.asarray(np.polynomial.legendre.legvander(scaled, self.order), np.float64)
        return Axis(np.zeros(at.size, np.int32), weight, self.order + 1)


class Nodes(NamedTuple):
    """Splines along an axis, and for each of their nodes, one more at each end, the voxels around it.

    ``index`` and ``weight`` (taps, nodes): weights of a Gaussian, 0 beyond the image; they do not sum to one.
    """

    basis: Splines | Even
    index: npt.NDArray[np.int64]  # type: ignore[assignment]  # hides tuple.index, which nobody asks for
    weight: _Array


def gaussian_nodes(n: int, sigma: float) -> Nodes:
    """Nodes a third of ``sigma`` voxels apart, fine enough for cubic splines to follow what it has smoothed."""
    if n == 1:
        return Nodes(Even(1, 4), np.zeros((1, 6), np.int64), np.ones((1, 6)))
    spans = max(1, math.ceil((n - 1) / max(sigma / _NODES, 1.0)))
    at = np.arange(-2, spans + 3) * ((n - 1) / spans)
    radius = int(_REACH * sigma + 0.5)
    index = np.floor(at).astype(np.int64) + np.arange(-radius, radius + 2)[:, None]
    weight = np.exp(-0.5 * ((index - at) / sigma) ** 2)
    weight[(index < 0) | (index >= n) | (np.abs(index - at) > _REACH * sigma)] = 0
    used = weight.any(axis=1)
    return Nodes(Splines(n, spans), np.clip(index, 0, n - 1)[used], weight[used])


def smooth_controls(values: _Floats, shares: _Floats, balance: _Floats, logarithm: bool) -> _Array:
    """Control values of the splines through ``values / shares`` at nodes, or through its logarithm unless it is one.

    A control value is ``(8 f[k] - f[k - 1] - f[k + 1]) / 6`` along each axis, which is exact for cubics; so there is a
    node more at each end. Where there are no shares, the mean by shares stands in. The mean by ``balance`` comes off.
    """
    share = np.where(shares > _LEAST, shares, 0).astype(np.float64)
    known = share > 0
    f = np.divide(values, share, out=np.ones(share.shape), where=known)
    f = f if logarithm else np.log(f)
    f = np.where(known, f - (f * share).sum() / share.sum(), 0)
    for axis in range(3):
        a = np.moveaxis(f, axis, 0)
        f = np.moveaxis((8 * a[1:-1] - a[:-2] - a[2:]) / 6, 0, axis)
    return np.asarray(f - (f * balance).sum() / balance.sum(dtype=np.float64))


def reach(axis: Axis) -> tuple[npt.NDArray[np.int64], _Array]:
    """For each control value of an axis the voxels that depend on it: index and weight (taps, controls)."""
    matrix = axis.dense()
    used = matrix != 0
    first = np.where(used.any(axis=0), used.argmax(axis=0), 0)
    last = len(matrix) - np.where(used.any(axis=0), used[::-1].argmax(axis=0), len(matrix) - 1)
    index = first + np.arange(int((last - first).max()))[:, None]
    inside = index < len(matrix)
    index = np.minimum(index, len(matrix) - 1)
    return index, np.where(inside, np.take_along_axis(matrix, index, axis=0), 0)


def products(order: int) -> _Array:
    """``P_i P_j = sum_a t[i, j, a] P_a`` of Legendre polynomials up to ``order``."""
    table = np.zeros((order + 1, order + 1, 2 * order + 1))
    for i, j in np.ndindex(order + 1, order + 1):
        series = np.polynomial.legendre.legmul(np.eye(order + 1)[i], np.eye(order + 1)[j])
        table[i, j, : series.size] = series
    return table


def terms(order: int) -> npt.NDArray[np.int32]:
    """Degrees (z, y, x) of the products of polynomials of a total degree up to ``order``."""
    return np.array([t for t in np.ndindex(*(order + 1,) * 3) if sum(t) <= order], np.int32)


def legendre(n: int, order: int) -> Legendre | Even:
    """Legendre polynomials, or nothing along an axis of one voxel."""
    return Legendre(n, order) if n > 1 else Even(1, order + 1)


def voxels(basis: Basis) -> Axis:
    """The axis of the voxels themselves."""
    return basis.axis(np.arange(basis.n, dtype=np.float64))


def stretched(basis: Basis, m: int) -> Axis:
    """The axis of ``m`` voxels, the first and the last where those of the basis are."""
    return basis.axis(np.linspace(0.0, basis.n - 1.0, m))


def idle_axis(n: int, taps: int) -> Axis:
    """An axis along which nothing changes; all taps but the first are without weight."""
    weight = np.zeros((n, taps))
    weight[:, 0] = 1
    return Axis(np.zeros(n, np.int32), weight, taps)


def _refinement(controls: int, order: int) -> _Array:
    """The two-scale relation of B-splines as a matrix (2 controls - order, controls)."""
    mask = np.array([math.comb(order + 1, k) for k in range(order + 2)]) / 2.0**order
    matrix = np.zeros((2 * controls - order, controls))
    for j in range(matrix.shape[0]):
        for i in range(controls):
            k = j - 2 * i + order
            if 0 <= k < mask.size:
                matrix[j, i] = mask[k]
    return matrix


def _b_spline(u: _Array, order: int) -> _Array:
    """The centred B-spline of an order, by its truncated powers: exact for the low orders there are."""
    half = (order + 1) / 2
    total = np.zeros_like(u)
    for k in range(order + 2):
        total += (-1) ** k * math.comb(order + 1, k) * np.maximum(u + half - k, 0.0) ** order
    # Beyond its support the powers cancel, but for rounding.
    return np.where(np.abs(u) < half, total / math.factorial(order), 0.0)
