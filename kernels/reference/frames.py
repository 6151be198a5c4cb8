"""Mean and variance of every pixel over a stack of frames."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt


def frames(x: npt.NDArray[Any], mean: npt.NDArray[np.float32], variance: npt.NDArray[np.float32]) -> None:
    """Of ``x`` (N, Z, Y, X) into ``mean`` and ``variance`` (Z, Y, X), summed in float64; variance of the population."""
    values = x.astype(np.float64)
    with np.errstate(invalid="ignore", over="ignore"):
        center = values.sum(axis=0) / len(x)
        mean[...] = center
        variance[...] = np.square(values - center).sum(axis=0) / len(x)
