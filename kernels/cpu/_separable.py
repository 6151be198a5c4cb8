"""Fields with one factor per axis, row by row: `expand` writes a row of one, `Gathering` sums a volume against one.

Rows lie along x, so every loop runs over neighbours in memory and adds to an array as long as itself: it is vectorised,
and its bits depend on nothing but the order of the rows.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from fastprep.core.lattice import Axis
from fastprep.kernels.cpu._numba import fma, jit


class Table(NamedTuple):
    """Two axes of voxel tables, and x turned so that neighbours lie together, cut where its first control changes."""

    z_first: Any
    z_weight: Any
    y_first: Any
    y_weight: Any
    x_weight: Any  # (taps, n)
    x_from: Any  # (pieces + 1,) bounds of the pieces
    x_first: Any  # (pieces,) first control of each


def table(axes: tuple[Axis, Axis, Axis], weights: tuple[Any, ...] | None = None) -> Table:
    """The tables of three axes; ``weights`` take the place of the axes' own."""
    z, y, x = axes
    wz, wy, wx = (a.weight for a in axes) if weights is None else weights
    cuts = np.flatnonzero(np.diff(x.first)) + 1
    bounds = np.concatenate([[0], cuts, [len(x.first)]])
    starts = x.first[bounds[:-1]].astype(np.int64)
    turned = np.ascontiguousarray(wx.T, np.float32)
    return Table(z.first.astype(np.int64), wz, y.first.astype(np.int64), wy, turned, bounds, starts)


@jit
def plane_of(lattice: Any, first: int, weight: Any, plane: Any) -> None:
    """The lattice (kz, ky, kx) summed along z, for one plane of voxels."""
    plane[:] = 0.0
    for j in range(weight.size):
        for b in range(plane.shape[0]):
            for c in range(plane.shape[1]):
                plane[b, c] += weight[j] * lattice[first + j, b, c]


@jit
def row_of(plane: Any, first: int, weight: Any, controls: Any) -> None:
    """The plane of controls summed along y, for one row of voxels."""
    controls[:] = 0.0
    for j in range(weight.size):
        for c in range(controls.size):
            controls[c] += weight[j] * plane[first + j, c]


@jit
def expand(controls: Any, x_weight: Any, x_from: Any, x_first: Any, low: int, high: int, row: Any) -> None:
    """``row[x]`` for low <= x < high: the controls of a row summed along x, in float32."""
    for p in range(x_first.size):
        a, b, first = max(low, x_from[p]), min(high, x_from[p + 1]), x_first[p]
        if a >= b:
            continue
        out = row[a:b]
        c, w = np.float32(controls[first]), x_weight[0, a:b]
        for i in range(out.size):
            out[i] = w[i] * c
        for j in range(1, x_weight.shape[0]):
            c, w = np.float32(controls[first + j]), x_weight[j, a:b]
            for i in range(out.size):
                out[i] = fma(w[i], c, out[i])


@jit
def gather_row(row: Any, first: int, weight: Any, low: int, high: int, plane: Any) -> None:
    """Add a row of voxels to the controls along y it depends on: plane (ky, x) in float64."""
    values = row[low:high]
    j = 0
    # Two at a time: the row is read and widened half as often.
    while j + 2 <= weight.size:
        w0, w1 = weight[j], weight[j + 1]
        out0, out1 = plane[first + j, low:high], plane[first + j + 1, low:high]
        for i in range(values.size):
            v = np.float64(values[i])
            out0[i] += w0 * v
            out1[i] += w1 * v
        j += 2
    if j < weight.size:
        w0, out0 = weight[j], plane[first + j, low:high]
        for i in range(values.size):
            out0[i] += w0 * np.float64(values[i])


@jit
def gather_plane(plane: Any, first: int, weight: Any, whole: Any) -> None:
    """Add a plane to the controls along z it depends on: whole (kz, ky, x)."""
    for j in range(weight.size):
        w = weight[j]
        for b in range(plane.shape[0]):
            out, values = whole[first + j, b], plane[b]
            for i in range(out.size):
                out[i] += w * values[i]


@jit
def gather_x(whole: Any, x_weight: Any, x_from: Any, x_first: Any, out: Any) -> None:
    """``out`` (kz, ky, kx): the sums over x that are left."""
    out[:] = 0.0
    for a in range(whole.shape[0]):
        for b in range(whole.shape[1]):
            row = whole[a, b]
            for p in range(x_first.size):
                for j in range(x_weight.shape[0]):
                    total = 0.0
                    for i in range(x_from[p], x_from[p + 1]):
                        total += np.float64(x_weight[j, i]) * row[i]
                    out[a, b, x_first[p] + j] += total
