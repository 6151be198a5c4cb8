"""A field from its lattice: its logarithm, and images divided by it, in one read and one write."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from fastprep.core.lattice import Axis
from fastprep.core.threads import run_slabs
from fastprep.kernels.cpu import _separable as separable
from fastprep.kernels.cpu._exponential import exponential_less_one
from fastprep.kernels.cpu._half import cast
from fastprep.kernels.cpu._numba import jit, source


def field(
    x: npt.NDArray[Any] | None,
    lattice: npt.NDArray[np.float64],
    axes: tuple[Axis, Axis, Axis],
    corrected: npt.NDArray[Any] | None,
    log_field: npt.NDArray[np.float32] | None,
) -> None:
    """``x / exp(field)`` into ``corrected``, the field into ``log_field``: (B, Z, Y, X); lattice (B, kz, ky, kx)."""
    table = separable.table(axes)
    for b, values in enumerate(lattice):
        if log_field is not None:
            _run(_log_rows, values, table, log_field[b], ())
        if corrected is not None and x is not None:
            _run(_corrected_rows, values, table, corrected[b], source(x[b : b + 1]))


def _run(rows: Any, lattice: Any, table: separable.Table, out: npt.NDArray[Any], read: tuple[Any, ...]) -> None:
    def work(z0: int, z1: int) -> None:
        if out.dtype != np.float16:
            rows(lattice, *table, *read, out, z0, z1, 0)
            return
        wide = np.empty((1, *out.shape[1:]), np.float32)
        for z in range(z0, z1):
            rows(lattice, *table, *read, wide, z, z + 1, z)
            cast(wide[0], out[z])

    run_slabs(work, out.shape[0])


@jit
def _log_rows(
    lattice: Any,
    z_first: Any,
    z_weight: Any,
    y_first: Any,
    y_weight: Any,
    x_weight: Any,
    x_from: Any,
    x_first: Any,
    out: Any,
    z0: int,
    z1: int,
    origin: int,
) -> None:
    plane, controls = np.empty(lattice.shape[1:]), np.empty(lattice.shape[2])
    for z in range(z0, z1):
        separable.plane_of(lattice, z_first[z], z_weight[z], plane)
        for y in range(out.shape[1]):
            separable.row_of(plane, y_first[y], y_weight[y], controls)
            separable.expand(controls, x_weight, x_from, x_first, 0, out.shape[2], out[z - origin, y])


@jit
def _corrected_rows(
    lattice: Any,
    z_first: Any,
    z_weight: Any,
    y_first: Any,
    y_weight: Any,
    x_weight: Any,
    x_from: Any,
    x_first: Any,
    flat: Any,
    start: int,
    _sb: int,
    sz: int,
    sy: int,
    sx: int,
    out: Any,
    z0: int,
    z1: int,
    origin: int,
) -> None:
    plane, controls = np.empty(lattice.shape[1:]), np.empty(lattice.shape[2])
    row = np.empty(out.shape[2], np.float32)
    for z in range(z0, z1):
        separable.plane_of(lattice, z_first[z], z_weight[z], plane)
        for y in range(out.shape[1]):
            separable.row_of(plane, y_first[y], y_weight[y], controls)
            separable.expand(controls, x_weight, x_from, x_first, 0, row.size, row)
            for i in range(row.size):
                row[i] = np.float32(1) + exponential_less_one(-row[i])
            to, at = out[z - origin, y], np.uint64(start + z * sz + y * sy)
            if sx == 1:
                for i in range(row.size):
                    to[i] = np.float64(flat[at + np.uint64(i)]) * np.float64(row[i])
            else:
                for i in range(row.size):
                    to[i] = np.float64(flat[at + np.uint64(i) * np.uint64(sx)]) * np.float64(row[i])
