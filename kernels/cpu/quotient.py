"""A smooth log field from sums around the nodes of a lattice, which are so few that NumPy is quick."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from fastprep.core.lattice import smooth_controls


def quotient(
    values: npt.NDArray[np.float32],
    shares: npt.NDArray[np.float32],
    balance: npt.NDArray[np.float32],
    logarithm: bool,
    lattice: npt.NDArray[np.float64],
) -> None:
    """Cubic B-splines through ``values / shares``, or its logarithm unless it is one, less the mean by ``balance``.

    ``values`` and ``shares`` (B, kz + 2, ky + 2, kx + 2) have a node more at each end than ``lattice`` (B, kz, ky, kx)
    and ``balance``.
    """
    for b in range(len(values)):
        lattice[b] = smooth_controls(values[b], shares[b], balance[b], logarithm)
