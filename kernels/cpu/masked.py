"""A volume where it counts and zero elsewhere, and how much each voxel counts."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from fastprep.core.threads import run_slabs
from fastprep.kernels.cpu._bias import marked
from fastprep.kernels.cpu._numba import jit, native, source


def masked(
    x: npt.NDArray[Any],
    mask: npt.NDArray[Any] | None,
    weights: npt.NDArray[Any] | None,
    label: float | None,
    logarithm: bool,
    values: npt.NDArray[np.float32],
    shares: npt.NDArray[np.float32],
    counted: Callable[[npt.NDArray[np.int64]], None],
) -> None:
    """``values`` = share times x, or times its logarithm; ``shares`` = weight inside, 0 outside: all (B, Z, Y, X).

    Mask, weights, label and ``counted`` are those of `n4`; voxels not above 0 do not count either.
    """
    found = np.zeros((x.shape[0], x.shape[1], 2), np.int64)
    for b in range(x.shape[0]):
        _volume(
            x[b],
            None if mask is None else mask[b % len(mask)],
            None if weights is None else weights[b % len(weights)],
            label,
            logarithm,
            values[b],
            shares[b],
            found[b],
        )
    counted(found.sum(axis=1))


def _volume(
    x: npt.NDArray[Any],
    mask: npt.NDArray[Any] | None,
    weight: npt.NDArray[Any] | None,
    label: float | None,
    logarithm: bool,
    values: npt.NDArray[np.float32],
    shares: npt.NDArray[np.float32],
    found: npt.NDArray[np.int64],
) -> None:
    marks = marked(mask, weight, label)
    seen = np.ones((1, 1, 1), np.bool_) if marks is None else marks
    if weight is None:
        shares[...] = 1
    else:
        shares[...] = native(weight)
    flat, start, _, sz, sy, sx = source(x[None])

    def work(z0: int, z1: int) -> None:
        _planes(flat, start, sz, sy, sx, seen, marks is not None, logarithm, values, shares, found, z0, z1)

    run_slabs(work, x.shape[0])


@jit
def _planes(
    flat: Any,
    start: int,
    sz: int,
    sy: int,
    sx: int,
    marks: Any,
    masked: bool,
    logarithm: bool,
    values: Any,
    shares: Any,
    found: Any,
    z0: int,
    z1: int,
) -> None:
    for z in range(z0, z1):
        for y in range(values.shape[1]):
            at, value, share = start + z * sz + y * sy, values[z, y], shares[z, y]
            for i in range(value.size):
                given = flat[at + i * sx]
                counts = not masked or marks[z, y, i]
                if counts and not np.isfinite(given):
                    found[z, 1] += 1
                if not counts or not np.isfinite(given) or not given > 0:
                    value[i] = share[i] = 0
                    continue
                found[z, 0] += 1
                full = np.float64(given)
                value[i] = np.float64(share[i]) * (np.log(full) if logarithm else full)
