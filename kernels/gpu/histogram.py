"""How many voxels inside a mask have a value in each of equal bins, each voxel read once.

The answer is NumPy's, so this waits for the device.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from fastprep.core.device_view import DeviceView
from fastprep.kernels.gpu._chunks import MASKED, masked
from fastprep.kernels.gpu._chunks import THREADS as THREADS
from fastprep.kernels.gpu._compile import driver
from fastprep.kernels.gpu._launch import Launch, launch, tables
from fastprep.kernels.gpu._types import NUMBERS, job, read_type

INSTANCES = tuple(f"histogram<{name}>" for name in NUMBERS)
_CHUNK = 64 * THREADS
#: Bins that a block counts in shared memory; more are counted where the result is.
_MOST_SHARED = 8192
_JOB = job(f"{MASKED}Pdii")


def histogram(x: DeviceView, mask: DeviceView | None, low: float, high: float, bins: int) -> npt.NDArray[np.uint64]:
    """``(bins,)`` counts of ``x`` (Z, Y, X) where ``mask`` of that shape is not zero, as `numpy.histogram` counts.

    Bins are [a, b), the last [a, b]; what is not in [low, high] is in none.
    """
    talk = driver()
    zeros = np.zeros(bins, np.uint64)
    memory = talk.upload(zeros.tobytes(), x.device, talk.stream(x))
    counts = DeviceView(memory.address, (bins,), (1,), zeros.dtype, x.device, memory, x.stream)
    edges = tables(x, np.linspace(low, high, bins + 1).tobytes())
    shared = bins <= _MOST_SHARED
    packed = _JOB.pack(*masked(x, counts, mask), *edges.addresses, bins / (high - low), bins, shared)
    name, blocks = f"histogram<{read_type(x.dtype)}>", -(-x.size // _CHUNK)
    launch(Launch("histogram", name, packed, blocks, THREADS, 4 * bins * shared, x, counts, (edges,)))
    counted: npt.NDArray[np.uint64] = talk.read(counts)
    return counted
