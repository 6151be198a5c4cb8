"""Bias fields that are the image itself, smoothed inside the mask: for `gaussian_bias` and `homomorphic_bias`."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

from fastprep.core.errors import ArgumentError
from fastprep.core.lattice import gaussian_nodes, reach, voxels
from fastprep.ops._arrays import empty, three, with_shape
from fastprep.ops._bias import BiasField, Fit, Scan, check_counts, check_nan, check_positive, finished, three_axes
from fastprep.registry import kernel

Table = tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]

_SAME = np.array([1.0, 0.0, -np.inf, np.inf])


def smoothed(name: str, scan: Scan, label: int | None, sigma: float, *, logarithm: bool, nan: str) -> BiasField:
    """The field of ``G(share x) / G(share)``, G a Gaussian of ``sigma`` mm, sampled on a lattice fine enough for it."""
    check_nan(nan)
    check_positive(sigma=sigma)
    nodes = [gaussian_nodes(n, s) for n, s in zip(scan.space, _voxels(scan, sigma), strict=True)]
    many, space = len(scan.volumes), three(scan.space)
    values, shares = (_array((many, *space), "float32", scan) for _ in range(2))
    kernel("masked", scan.array)(
        scan.volumes, scan.mask, scan.weights, label, logarithm, values, shares, partial(check_counts, nan=nan)
    )
    bases = tuple(node.basis for node in nodes)
    idle = [(np.zeros((1, 6), np.int64), np.ones((1, 6)))] * (3 - len(nodes))
    around = [*idle, *((node.index, node.weight) for node in nodes)]
    near = [_sums(v, around, scan) for v in (values, shares)]
    # The mean of a field over the mask is that of its control values by what each is to the mask.
    balance = _sums(shares, [reach(axis) for axis in three_axes(tuple(voxels(basis) for basis in bases))], scan)
    lattice = _array(tuple(balance.shape), "float64", scan)
    kernel("quotient", scan.array)(*near, balance, logarithm, lattice)
    return finished(name, scan, Fit(lattice), bases)


def _voxels(scan: Scan, sigma: float) -> tuple[float, ...]:
    """Sigma in voxels along each axis."""
    steps = scan.spacing or (1.0,) * len(scan.space)
    found = tuple(sigma / step for step in steps)
    if any(s < 1 and n > 1 for s, n in zip(found, scan.space, strict=True)):
        msg = f"sigma={sigma}: expected at least one voxel along every axis, of {steps}"
        raise ArgumentError(msg)
    return found


def _sums(volumes: Any, tables: Sequence[Table], scan: Scan) -> Any:
    """Weighted sums of voxels, by tables (taps, m) of each axis: (B, m, m, m)."""
    index, weight = zip(*tables, strict=True)
    shape = tuple(table.shape[1] for table in index)
    out = _array((len(volumes), *shape), "float32", scan)
    whole = np.array([(0, n) for n in shape], np.int64)
    kernel("resample", scan.array)(
        volumes, with_shape(out, (1, *out.shape)), index, weight, whole, False, _SAME, _SAME[None], np.zeros(1)
    )
    return out


def _array(shape: tuple[int, ...], dtype: str, scan: Scan) -> Any:
    return empty(shape, dtype, scan.array).view
