"""A volume where it counts and zero elsewhere, and how much each voxel counts."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt


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
    weight = np.broadcast_to(1.0 if weights is None else weights.astype(np.float64), x.shape)
    inside = np.broadcast_to(True if mask is None else (mask != 0 if label is None else mask == label), x.shape)
    inside = inside & (weight > 0)
    finite = np.isfinite(x)
    good = inside & finite & (x > 0)
    counted(np.stack([good.sum(axis=(1, 2, 3)), (inside & ~finite).sum(axis=(1, 2, 3))], axis=1))
    given = np.where(good, x, 1).astype(np.float64)
    shares[...] = np.where(good, weight, 0)
    values[...] = shares * (np.log(given) if logarithm else given)
