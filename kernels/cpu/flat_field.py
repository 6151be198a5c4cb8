"""``out = (x - dark) * gain``: every array read once, one written."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from fastprep.core.threads import run_slabs
from fastprep.kernels.cpu._half import cast
from fastprep.kernels.cpu._numba import jit, native, put

#: Pixels of a band of rows: it stays in the cache.
_BAND = 1 << 15


def flat_field(
    x: npt.NDArray[Any],
    dark: npt.NDArray[np.float32] | None,
    gain: npt.NDArray[np.float32] | None,
    out: npt.NDArray[Any],
) -> None:
    """``x`` and ``out`` (B, Z, Y, X), ``out`` contiguous; ``dark`` and ``gain`` (1 or B, Z, Y, X). In float32."""
    _, depth, height, width = x.shape
    rows = max(1, _BAND // max(1, width))
    bands = -(-height // rows)
    half = out.dtype == np.float16

    def work(start: int, stop: int) -> None:
        nothing, once = np.zeros(rows * width, np.float32), np.ones(rows * width, np.float32)
        for i in range(start, stop):
            b, z, first = i // (bands * depth), i // bands % depth, i % bands * rows
            part = (z, slice(first, first + rows))
            piece = out[b][part]
            line = np.empty(piece.size, np.float32) if half else piece.reshape(-1)
            less = nothing[: piece.size] if dark is None else dark[min(b, len(dark) - 1)][part]
            times = once[: piece.size] if gain is None else gain[min(b, len(gain) - 1)][part]
            _line(_flat(x[b][part]), _flat(less), _flat(times), line)
            if half:
                cast(line.reshape(piece.shape), piece)

    run_slabs(work, len(x) * depth * bands)


def _flat(x: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """One line that Numba reads, read-only, so that the loop is compiled for one kind."""
    line = np.ascontiguousarray(native(x)).reshape(-1)
    if not line.flags.aligned:
        line = line.copy()
    line = line.view()
    line.setflags(write=False)
    return line


@jit
def _line(x: Any, dark: Any, gain: Any, out: Any) -> None:
    for i in range(out.size):
        put(out, i, (np.float32(x[i]) - dark[i]) * gain[i])
