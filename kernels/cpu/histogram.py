"""How many voxels inside a mask have a value in each of equal bins, each voxel read once."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from fastprep.core.threads import run_slabs
from fastprep.kernels.cpu._chunks import buffers, chunk, voxels
from fastprep.kernels.cpu._numba import jit


def histogram(
    x: npt.NDArray[Any],
    mask: npt.NDArray[Any] | None,
    lows: npt.NDArray[np.float64],
    highs: npt.NDArray[np.float64],
    bins: int,
) -> npt.NDArray[np.uint64]:
    """``(B, bins)`` counts of ``x`` (B, Z, Y, X) where ``mask`` of that shape is not zero, as `numpy.histogram` counts.

    Bins of volume b are [a, b), the last [a, b], equal ones from ``lows[b]`` to ``highs[b]``; what is not in there is
    in none.
    """
    v = voxels(x, mask)
    out = np.zeros((len(x), bins), np.uint64)
    for b in range(len(x)):
        edges = np.linspace(lows[b], highs[b], bins + 1)
        found: list[npt.NDArray[np.uint64]] = []

        def slab(start: int, stop: int) -> None:
            counts = np.zeros(bins, np.uint64)
            _slab(v, b * v.chunks + start, b * v.chunks + stop, edges, counts)
            found.append(counts)

        run_slabs(slab, v.chunks)
        np.sum(found, axis=0, dtype=np.uint64, out=out[b])
    return out


@jit
def _slab(v: Any, start: int, stop: int, edges: Any, counts: Any) -> None:
    room = buffers(v)
    last_bin = counts.size - 1
    low, high = edges[0], edges[-1]
    scale = counts.size / (high - low)
    for c in range(start, stop):
        values, marks = chunk(v, c, room)
        for i in range(values.size):
            value = np.float64(values[i])
            if marks[i] == 0 or not (low <= value <= high):
                continue
            # A guess, and then what the edges say.
            at = (value - low) * scale
            k = int(at) if at < last_bin else last_bin
            while value < edges[k]:
                k -= 1
            while k < last_bin and value >= edges[k + 1]:
                k += 1
            counts[k] += np.uint64(1)
