"""How many voxels inside a mask have a value in each of equal bins, each voxel read once."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from fastprep.core.threads import run_slabs
from fastprep.kernels.cpu._chunks import CHUNK, load, strided
from fastprep.kernels.cpu._numba import jit


def histogram(
    x: npt.NDArray[Any], mask: npt.NDArray[Any] | None, low: float, high: float, bins: int
) -> npt.NDArray[np.uint64]:
    """``(bins,)`` counts of ``x`` (Z, Y, X) where ``mask`` of that shape is not zero, as `numpy.histogram` counts.

    Bins are [a, b), the last [a, b]; what is not in [low, high] is in none.
    """
    edges = np.linspace(low, high, bins + 1)
    layout = strided(x, mask)
    found: list[npt.NDArray[np.uint64]] = []

    def slab(start: int, stop: int) -> None:
        counts = np.zeros(bins, np.uint64)
        _slab(*layout, x.size, start, stop, edges, counts)
        found.append(counts)

    run_slabs(slab, -(-x.size // CHUNK))
    total: npt.NDArray[np.uint64] = np.sum(found, axis=0, dtype=np.uint64)
    return total


@jit
def _slab(
    x: Any, mask: Any, masked: bool, ny: int, nx: int, size: int, start: int, stop: int, edges: Any, counts: Any
) -> None:
    values = np.empty(CHUNK)
    last_bin = counts.size - 1
    low, high = edges[0], edges[-1]
    scale = counts.size / (high - low)
    for c in range(start, stop):
        last = min((c + 1) * CHUNK, size)
        load(x, mask, masked, ny, nx, c * CHUNK, last, values)
        for i in range(last - c * CHUNK):
            v = values[i]
            if not (low <= v <= high):
                continue
            # A guess, and then what the edges say.
            at = (v - low) * scale
            k = int(at) if at < last_bin else last_bin
            while v < edges[k]:
                k -= 1
            while k < last_bin and v >= edges[k + 1]:
                k += 1
            counts[k] += np.uint64(1)
