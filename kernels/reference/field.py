"""A field from its lattice: its logarithm, and images divided by it."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from fastprep.core.lattice import Axis
from fastprep.kernels.reference._store import store


def field(
    x: npt.NDArray[Any] | None,
    lattice: npt.NDArray[np.float64],
    axes: tuple[Axis, Axis, Axis],
    corrected: npt.NDArray[Any] | None,
    log_field: npt.NDArray[np.float32] | None,
) -> None:
    """``x / exp(field)`` into ``corrected``, the field into ``log_field``: (B, Z, Y, X); lattice (B, kz, ky, kx)."""
    for b, values in enumerate(lattice):
        found = np.einsum("abc,za,yb,xc->zyx", values, *[axis.dense() for axis in axes], optimize=True)
        if log_field is not None:
            log_field[b] = found
        if corrected is not None and x is not None:
            store(corrected[b], x[b] * np.exp(-found))
