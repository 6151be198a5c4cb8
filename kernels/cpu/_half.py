"""float16 results. Numba has no such type on the CPU: slabs are computed in float32 and cast while in the cache."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from fastprep.core.threads import run_slabs, thread_limit

#: Planes of a slab: enough that the input planes neighbouring slabs share are few.
_PLANES = 16


def in_slabs(compute: Callable[[npt.NDArray[Any], int, int], None], out: npt.NDArray[Any]) -> None:
    """``compute(wide, z0, z1)`` fills float32 planes ``z0 <= z < z1`` of ``out`` (K, B, z, y, x), float16."""
    depth = out.shape[2]

    def work(start: int, stop: int) -> None:
        for z0 in range(start * _PLANES, min(stop * _PLANES, depth), _PLANES):
            part = out[:, :, z0 : z0 + _PLANES]
            wide = np.empty(part.shape, np.float32)
            with thread_limit(1):
                compute(wide, z0, z0 + part.shape[2])
            cast(wide, part)

    run_slabs(work, -(-depth // _PLANES))


def narrow(wide: npt.NDArray[Any], out: npt.NDArray[Any]) -> None:
    """A whole float32 result into a float16 one, plane by plane on every thread."""
    run_slabs(lambda start, stop: cast(wide[:, :, start:stop], out[:, :, start:stop]), out.shape[2])


def cast(wide: npt.NDArray[Any], out: npt.NDArray[Any]) -> None:
    """``out[...] = wide``; what is too large for float16 becomes infinity, as IEEE 754 has it."""
    with np.errstate(over="ignore"):
        out[...] = wide
