"""``out = sum_k weights[k] * x[k] + offset``: each voxel of each channel read once in its own dtype, one written."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from fastprep.core.threads import run_slabs
from fastprep.kernels.cpu._half import cast
from fastprep.kernels.cpu._numba import as_compute, compute_dtype, jit, native, put, source

#: Voxels at once: their sums stay in the cache while channel after channel is added.
_CHUNK = 1 << 13


def combine(x: npt.NDArray[Any], out: npt.NDArray[Any], weights: npt.NDArray[np.float64], offset: float) -> None:
    """``x`` (K, Z, Y, X), ``out`` (Z, Y, X) contiguous, ``weights`` (K,)."""
    factors = as_compute(np.append(weights, offset), compute_dtype(x, out))
    line, half = out.reshape(-1), np.float16 in (x.dtype.type, out.dtype.type)
    if x[0].flags.c_contiguous and x.flags.aligned and x.dtype.isnative and not half:
        flat, first, step = source(x)[:3]
        run_slabs(lambda start, stop: _combine(flat, first, step, line, factors, start, stop), line.size)
        return

    # What Numba does not read as it lies is copied one plane at a time, never whole.
    def planes(start: int, stop: int) -> None:
        for z in range(start, stop):
            plane = np.ascontiguousarray(native(x[:, z])).reshape(-1)
            plane.setflags(write=False)
            wide = np.empty(out[z].size, np.float32) if half else out[z].reshape(-1)
            _combine(plane, 0, wide.size, wide, factors, 0, wide.size)
            if half:
                cast(wide.reshape(out[z].shape), out[z])

    run_slabs(planes, len(out))


@jit
def _combine(x: Any, first: int, step: int, out: Any, factors: Any, start: int, stop: int) -> None:
    channels, sums = factors.size - 1, np.empty(_CHUNK, factors.dtype)
    for at in range(start, stop, _CHUNK):
        n = min(_CHUNK, stop - at)
        sums[:] = 0
        for k in range(channels):
            here = first + k * step + at
            line, factor = x[here : here + n], factors[k]
            for i in range(n):
                sums[i] += factor * factors.dtype.type(line[i])
        part = out[at : at + n]
        for i in range(n):
            put(part, i, sums[i] + factors[channels])
