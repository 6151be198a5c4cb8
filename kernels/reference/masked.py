"""A volume where it counts and zero elsewhere, and how much each voxel counts."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from fastprep.kernels.reference._inside import find


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
    found = find(x, mask, weights, label)
    # Only what is finite is compared, or NaN would warn.
    good = found.inside & (np.where(found.inside, x, 0) > 0)
    counted(found._replace(inside=good).counts())
    given = np.where(good, x, 1).astype(np.float64)
    shares[...] = np.where(good, found.weight, 0)
    values[...] = shares * (np.log(given) if logarithm else given)
