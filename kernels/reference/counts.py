"""How often each value of a narrow integer type occurs inside a mask."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt


def counts(x: npt.NDArray[Any], mask: npt.NDArray[Any] | None) -> npt.NDArray[np.uint64]:
    """``(B, 2**bits)`` of ``x`` (B, Z, Y, X), bool or of 8 or 16 bits, where ``mask`` of that shape is not zero.

    Index 0 is the lowest value of the type.
    """
    lowest = 0 if x.dtype.kind == "b" else int(np.iinfo(x.dtype).min)
    volumes = (volume if mask is None else volume[mask[b] != 0] for b, volume in enumerate(x))
    counted = [np.bincount(v.astype(np.int64).ravel() - lowest, minlength=1 << 8 * x.itemsize) for v in volumes]
    return np.array(counted, np.uint64).reshape(len(x), 1 << 8 * x.itemsize)
