"""``out = (x - dark) * gain``."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from fastprep.kernels.reference._store import store


def flat_field(
    x: npt.NDArray[Any],
    dark: npt.NDArray[np.float32] | None,
    gain: npt.NDArray[np.float32] | None,
    out: npt.NDArray[Any],
) -> None:
    """``x`` and ``out`` (B, Z, Y, X), ``out`` contiguous; ``dark`` and ``gain`` (1 or B, Z, Y, X). In float32."""
    with np.errstate(invalid="ignore", over="ignore"):
        values = x.astype(np.float32)
        if dark is not None:
            values = values - dark
        if gain is not None:
            values = values * gain
        store(out, values)
