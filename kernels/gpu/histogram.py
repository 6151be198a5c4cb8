"""How many voxels inside a mask have a value in each of equal bins, each voxel read once.

The answer is NumPy's, so this waits for the device.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from fastprep.core.device_view import DeviceView
from fastprep.kernels.gpu._chunks import BATCH, batch
from fastprep.kernels.gpu._chunks import THREADS as THREADS
from fastprep.kernels.gpu._compile import driver
from fastprep.kernels.gpu._launch import Launch, launch, scratch, tables
from fastprep.kernels.gpu._types import NUMBERS, job, read_type
from fastprep.kernels.gpu.counts import clear

INSTANCES = tuple(f"histogram<{name}>" for name in NUMBERS)
_CHUNK = 64 * THREADS
#: Bins that a block counts in shared memory; more are counted where the result is.
_MOST_SHARED = 8192
_JOB = job(f"{BATCH}Pii")


def histogram(
    x: DeviceView,
    mask: DeviceView | None,
    lows: npt.NDArray[np.float64],
    highs: npt.NDArray[np.float64],
    bins: int,
) -> npt.NDArray[np.uint64]:
    """``(B, bins)`` counts of ``x`` (B, Z, Y, X) where ``mask`` of that shape is not zero, as `numpy.histogram` counts.

    Bins of volume b are [a, b), the last [a, b], equal ones from ``lows[b]`` to ``highs[b]``; what is not in there is
    in none.
    """
    if x.size == 0:
        return np.zeros((len(x), bins), np.uint64)
    counts = scratch(x, (len(x), bins), "int64")
    clear(counts, x)
    edges = tables(x, np.stack([np.linspace(a, z, bins + 1) for a, z in zip(lows, highs, strict=True)]).tobytes())
    shared, chunks = bins <= _MOST_SHARED, -(-x[0].size // _CHUNK)
    packed = _JOB.pack(*batch(x, counts, mask, chunks), *edges.addresses, bins, shared)
    name = f"histogram<{read_type(x.dtype)}>"
    run = Launch("histogram", name, packed, len(x) * chunks, THREADS, 4 * bins * shared, x, counts, (edges,), stage=1)
    launch(run)
    counted: npt.NDArray[np.uint64] = driver().read(counts).view(np.uint64)
    return counted
