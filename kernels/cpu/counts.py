"""How often each value of a narrow integer type occurs inside a mask, each voxel read once."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from fastprep.core.threads import run_slabs
from fastprep.kernels.cpu._chunks import buffers, chunk, voxels
from fastprep.kernels.cpu._numba import jit, load_eight

#: Chunks after which counts of 32 bits might be full.
MOST_CHUNKS = 1 << 17


def counts(x: npt.NDArray[Any], mask: npt.NDArray[Any] | None) -> npt.NDArray[np.uint64]:
    """``(B, 2**bits)`` of ``x`` (B, Z, Y, X), bool or of 8 or 16 bits, where ``mask`` of that shape is not zero.

    Index 0 is the lowest value of the type.
    """
    found = count_patterns(x, mask)
    # Bits of negative numbers come after those of the others.
    return np.roll(found, found.shape[1] // 2, axis=1) if x.dtype.kind == "i" else found


def count_patterns(x: npt.NDArray[Any], mask: npt.NDArray[Any] | None) -> npt.NDArray[np.uint64]:
    """The same with the index of a value its bits as a whole number, of any type of 8 or 16 bits."""
    ordered = x.astype(x.dtype.newbyteorder("="), copy=False)
    v = voxels(ordered.view(f"u{x.itemsize}"), mask)
    bins = 1 << 8 * x.itemsize
    out = np.zeros((len(x), bins), np.uint64)
    for b in range(len(x)):
        found: list[npt.NDArray[np.uint32]] = []

        def slab(start: int, stop: int) -> None:
            for first in range(start, stop, MOST_CHUNKS):
                # Several tables, so that a run of one value does not wait for itself.
                tables = np.zeros((4, bins), np.uint32)
                _slab(v, b * v.chunks + first, b * v.chunks + min(first + MOST_CHUNKS, stop), tables)
                found.append(tables)

        run_slabs(slab, v.chunks)
        for tables in found:
            out[b] += tables.sum(axis=0, dtype=np.uint64)
    return out


@jit
def _slab(v: Any, start: int, stop: int, tables: Any) -> None:
    room = buffers(v)
    for c in range(start, stop):
        values, marks = chunk(v, c, room)
        if v.masked or (c + 1) % v.chunks == 0:
            _count_inside(values, marks, tables[0], tables[1])
        else:
            _count(values, tables[0], tables[1], tables[2], tables[3])


@jit
def _count_inside(values: Any, marks: Any, a: Any, b: Any) -> None:
    for at in range(0, values.size, 8):
        if load_eight(marks, at) == 0:
            continue
        for i in range(at, at + 8, 2):
            a[values[i]] += np.uint32(marks[i] != 0)
            b[values[i + 1]] += np.uint32(marks[i + 1] != 0)


@jit
def _count(values: Any, a: Any, b: Any, c: Any, d: Any) -> None:
    one = np.uint32(1)
    for i in range(0, values.size, 4):
        a[values[i]] += one
        b[values[i + 1]] += one
        c[values[i + 2]] += one
        d[values[i + 3]] += one
