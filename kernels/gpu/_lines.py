"""Passes along one axis (``lines.cuh``): segments of lines, the constants of the recursion, the struct ``LineJob``."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from fastprep.core.device_view import DeviceView
from fastprep.kernels.gpu._launch import Launch, launch, tables
from fastprep.kernels.gpu._types import CHANNELS, channels, compute_type, job, read_type, written_type

THREADS = 128
_HALO, _HORIZON = 32, 20
#: Coefficients of a segment, so that three blocks share the memory of a multiprocessor.
_LENGTHS = {("columns", 4): 96, ("columns", 8): 64, ("rows", 4): 64, ("rows", 8): 32}
_JOB = job(f"PP2qqq2qqq2iiiPPPiiiiii4d{4 + _HORIZON}d{CHANNELS}")
_REALS = ("float32", "float64")

IDENTITY = np.array([[1.0, 0.0, -np.inf, np.inf]])
FREE = (1.0, 0.0, -math.inf, math.inf)


def first_passes(kernel: str, read: Sequence[str]) -> tuple[str, ...]:
    """Instantiations that read volumes."""
    return tuple(f"{kernel}<{i}, {c}, {c}>" for i in read for c in _REALS if c == compute_type(c, i))


def middle_passes(kernel: str) -> tuple[str, ...]:
    """Instantiations between passes."""
    return tuple(f"{kernel}<{c}, {c}, {c}>" for c in _REALS)


def last_passes(kernel: str, written: Sequence[str]) -> tuple[str, ...]:
    """Instantiations that write results."""
    return tuple(f"{kernel}<{c}, {o}, {c}>" for o in written for c in _REALS if c == compute_type(c, o))


class Taps(NamedTuple):
    """A table (taps, m) of an axis; without rows, the coefficients themselves."""

    index: npt.NDArray[np.int32]  # type: ignore[assignment]  # hides tuple.index, which nobody asks for
    weight: npt.NDArray[Any]


def line_pass(
    kernel: str,
    x: DeviceView,
    out: DeviceView,
    axis: int,
    taps: Taps,
    real: np.dtype[Any],
    *,
    pre: tuple[float, ...] = FREE,
    post: npt.NDArray[np.float64] = IDENTITY,
    stage: int,
) -> None:
    """``columns``, ``rows`` or ``band`` along ``axis`` (1 to 3) of ``x`` (B, Z, Y, X) into ``out`` (K, B, z, y, x)."""
    lane = {1: 3, 2: 3, 3: 2}[axis]
    outer = [a for a in (0, 1, 2, 3) if a not in (axis, lane)]
    n, m = x.shape[axis], out.shape[axis + 1]
    band = kernel == "band"
    # Of a spline the four taps of an output lie side by side: one load brings them.
    index, weight = (taps.index, taps.weight) if band else (taps.index.T, taps.weight.T)
    parts = [np.ascontiguousarray(index).tobytes(), np.ascontiguousarray(weight, real).tobytes()]
    if band:
        pieces, capacity, shared = 1, 0, 0
        fast, slow = (m, x.shape[lane]) if axis == 3 else (x.shape[lane], m)
    else:
        segments, capacity = _segments(taps.index.tobytes(), m, _LENGTHS[kernel, real.itemsize])
        parts.append(segments)
        pieces = len(segments) // 16
        halos = _HALO if kernel == "columns" else 2 * _HALO
        pitch = capacity + halos if kernel == "columns" else (capacity + halos) | 1
        shared = THREADS * pitch * real.itemsize
        fast, slow = x.shape[lane], pieces
    table = tables(x, *parts)
    where, how, cut = (*table.addresses, 0)[:3]
    lane_blocks = -(-fast // THREADS)
    packed = _JOB.pack(
        x.address,
        out.address,
        *(x.strides[a] for a in outer),
        x.strides[axis],
        x.strides[lane],
        *(out.strides[a + 1] for a in outer),
        out.strides[axis + 1],
        out.strides[lane + 1],
        *(x.shape[a] for a in outer),
        n,
        x.shape[lane],
        cut,
        where,
        how,
        pieces,
        lane_blocks,
        len(taps.index),
        m,
        capacity,
        axis == 3,
        *pre,
        *_recursion(n, real.name),
        *channels(post, (0.0,) * len(post), out.strides[0]),
    )
    reads = read_type(x.dtype)
    blocks = x.shape[outer[0]] * x.shape[outer[1]] * slow * lane_blocks
    name = f"{kernel}<{reads}, {written_type(out.dtype)}, {compute_type(real.name)}>"
    launch(Launch("resample", name, packed, blocks, THREADS, shared, x, out, (table,), stage))


def copy_volumes(x: DeviceView, out: DeviceView, stage: int) -> None:
    """``x`` (B, Z, Y, X), or several, into ``out`` of the same shape, one of them of the type computed in."""
    if x.ndim > 4:
        for k in range(len(x)):
            copy_volumes(x[k], out[k], stage)
        return
    depth = x.shape[1]
    alone = Taps(np.arange(depth, dtype=np.int32)[None], np.ones((1, depth)))
    real = np.dtype(compute_type(read_type(x.dtype), written_type(out.dtype)))
    channel = replace(out, shape=(1, *out.shape), strides=(0, *out.strides))
    line_pass("band", x, channel, 1, alone, real, stage=stage)


@lru_cache(maxsize=64)
def _segments(index: bytes, m: int, most: int) -> tuple[bytes, int]:
    """Outputs cut so that the coefficients of each piece are at most ``most``: ``Segment`` structs, and the longest."""
    if index:
        table = np.frombuffer(index, np.int32).reshape(-1, m)
        low, high = table.min(axis=0).tolist(), (table.max(axis=0) + 1).tolist()
    else:
        low, high = list(range(m)), list(range(1, m + 1))
    cuts: list[tuple[int, int, int, int]] = []
    first, a, b = 0, low[0], high[0]
    for j in range(1, m):
        if max(b, high[j]) - min(a, low[j]) > most:
            cuts.append((first, j, a, b))
            first, a, b = j, low[j], high[j]
        else:
            a, b = min(a, low[j]), max(b, high[j])
    cuts.append((first, m, a, b))
    return np.array(cuts, np.int32).tobytes(), max(b - a for _, _, a, b in cuts)


@lru_cache(maxsize=64)
def _recursion(n: int, real: str) -> tuple[float, ...]:
    """The struct ``Recursion``: what the CPU computes with on a line of ``n``, rounded as it rounds it."""
    to = np.dtype(real).type
    pole, gain = math.sqrt(3.0) - 2.0, to(6)
    edge, start = to(1), np.zeros(_HORIZON, to)
    if 1 < n <= _HORIZON:
        edge = to(1 / (1 - pole ** (2 * n - 2)))
        for k in range(1, n - 1):
            start[k] = gain * to(pole**k + pole ** (2 * n - 2 - k))
        start[n - 1] = to(pole ** (n - 1)) * gain
    else:
        for k in range(1, _HORIZON):
            start[k] = gain * to(pole**k)
    return (float(to(pole)), 6.0, float(to(pole / (pole * pole - 1))), float(edge), *map(float, start))
