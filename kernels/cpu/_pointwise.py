"""Chunks of a voxel-by-voxel operation: one pass over memory in any layout, a chunk small enough for the cache."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from fastprep.core.threads import run_slabs
from fastprep.kernels.cpu._half import cast
from fastprep.kernels.cpu._numba import native, read_only

#: Voxels of a chunk: several channels of it stay in the second-level cache, so the input is read once.
CHUNK = 1 << 15


def over_chunks(kernel: Callable[..., None], x: npt.NDArray[Any], out: npt.NDArray[Any], ramps: Any) -> None:
    """``kernel(x_chunk, out_chunk, ramps)`` over all of ``x`` (...) and ``out`` (K, ...), ``out`` contiguous."""
    if x.flags.c_contiguous:
        x, out = x.reshape(-1), out.reshape(len(out), -1)
    while x.ndim > 1 and len(x) == 1:
        x, out = x[0], out[:, 0]
    if x.ndim == 1:
        run_slabs(lambda start, stop: _serial(kernel, x, out, ramps, start, stop), x.size, smallest=CHUNK)
        return

    # A layout with no flat view: copied one slice of the first axis at a time, never whole.
    def slices(start: int, stop: int) -> None:
        for i in range(start, stop):
            piece = np.ascontiguousarray(x[i]).ravel()
            _serial(kernel, piece, out[:, i].reshape(len(out), -1), ramps, 0, piece.size)

    run_slabs(slices, len(x))


def _serial(
    kernel: Callable[..., None],
    x: npt.NDArray[Any],
    out: npt.NDArray[Any],
    ramps: Any,
    start: int,
    stop: int,
) -> None:
    for at in range(start, stop, CHUNK):
        end = min(at + CHUNK, stop)
        piece = read_only(np.ascontiguousarray(native(x[at:end])))
        if out.dtype == np.float16:
            wide = np.empty((len(out), end - at), np.float32)
            kernel(piece, wide, ramps)
            cast(wide, out[:, at:end])
        else:
            kernel(piece, out[:, at:end], ramps)
