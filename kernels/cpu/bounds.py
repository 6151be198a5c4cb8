"""The smallest box that holds every non-zero voxel, read once."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from fastprep.core.threads import run_slabs
from fastprep.kernels.cpu._numba import jit, source


def bounds(mask: npt.NDArray[Any]) -> npt.NDArray[np.int64]:
    """``(3, 2)`` start and stop per axis of a mask (Z, Y, X); all zero when the mask is empty."""
    seen = [np.zeros(n, dtype=np.bool_) for n in mask.shape]
    flat, start, _, sz, sy, sx = source(mask[None])

    def slab(z0: int, z1: int) -> None:
        # Slabs share rows and columns, but only ever write True to them.
        _mark(flat, start, sz, sy, sx, z0, z1, *seen)

    run_slabs(slab, mask.shape[0])
    if not seen[0].any():
        return np.zeros((3, 2), dtype=np.int64)
    return np.array([(s.argmax(), len(s) - s[::-1].argmax()) for s in seen], dtype=np.int64)


@jit
def _mark(
    flat: Any, start: int, sz: int, sy: int, sx: int, z0: int, z1: int, z_seen: Any, y_seen: Any, x_seen: Any
) -> None:
    for z in range(z0, z1):
        for y in range(y_seen.size):
            base = start + z * sz + y * sy
            for x in range(x_seen.size):
                if flat[base + x * sx] != 0:
                    z_seen[z] = True
                    y_seen[y] = True
                    x_seen[x] = True
