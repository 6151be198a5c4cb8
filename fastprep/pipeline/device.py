"""A plan on a GPU: the scan goes there as it is stored, in slabs where it would not fit whole."""

from __future__ import annotations

import math
import sys
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from fastprep.core.device_view import device_view
from fastprep.core.errors import ArgumentError, DeviceError, TooLargeError
from fastprep.core.index_map import IndexMap
from fastprep.ops._sample import view_through
from fastprep.pipeline.plan import Pass, Plan
from fastprep.registry import gpu_driver, gpu_transfer

#: Of the free memory: allocators round up, and others allocate too.
_SHARE = 0.9
#: Voxels around a slab that a cubic spline's coefficients need to forget where it was cut.
_SPLINE_REACH = 40


def parse_device(text: str) -> int | None:
    """The number of a CUDA device: "cuda" is 0, "cuda:1" is 1; "cpu" is None, and so is "auto" without a GPU.

    Raises
    ------
    ArgumentError
        Another word, or a device that is not there.
    MissingExtraError, DeviceError
        CUDA was asked for, and CuPy is not installed or finds no device.
    """
    if text == "cpu":
        return None
    if text == "auto":
        try:
            gpu_driver()
        except (ImportError, RuntimeError):
            return None
        return 0
    kind, _, number = text.partition(":")
    if kind != "cuda" or not (number.isdigit() or (number == "" and text == "cuda")):
        msg = f"device={text!r}: expected 'cpu', 'cuda', 'cuda:1' or 'auto'"
        raise ArgumentError(msg)
    count = gpu_driver().device_count()
    if int(number or 0) >= count:
        msg = f"device={text!r}: this machine has {count}, cuda:0 to cuda:{count - 1}"
        raise ArgumentError(msg)
    return int(number or 0)


def run_on_device(plan: Plan, x: npt.NDArray[Any], device: int, *, to_host: bool = False, share: float = 1.0) -> Any:
    """The plan's result for a host array, on the device, or back on the host as a NumPy array.

    ``share`` is what it may take of the device's free memory.

    Raises
    ------
    TooLargeError
        It does not fit into the device's memory, and cannot be done in slabs.
    """
    driver, transfer = gpu_driver(), gpu_transfer()
    free = int(driver.free_memory(device) * _SHARE * share)
    if not plan.passes:
        return x if to_host else _whole(plan, x, device, to_host)
    try:
        if device_bytes(plan, x.shape, x.dtype) <= free:
            return _whole(plan, x, device, to_host)
    except (MemoryError, RuntimeError) as error:
        # Others may have taken it in between.
        if not (isinstance(error, TooLargeError) or type(error).__name__ == "OutOfMemoryError"):
            raise
        transfer.forget()
        free //= 2
    return _in_slabs(plan, x, device, to_host, free)


def tensor_on(x: Any, device: str) -> Any:
    """A PyTorch tensor of the host on a CUDA device, copied without waiting where its memory is pinned.

    Raises
    ------
    DeviceError
        This PyTorch has no CUDA.
    """
    if not sys.modules["torch"].cuda.is_available():
        msg = f"a PyTorch tensor on the CPU for {device}, and this PyTorch has no CUDA: pass x.numpy(), or install one"
        raise DeviceError(msg)
    return x.to(device, non_blocking=True)


def upload(x: npt.NDArray[Any], device: int) -> Any:
    """A host array on the device, to be kept: an array of CuPy's."""
    transfer = gpu_transfer()
    uploader = transfer.uploader(device)
    there = uploader.put(x)
    try:
        result = transfer.Result(x.shape, x.dtype.name, device, on_host=False)
        result.put(there, 0, 0)
    finally:
        uploader.release()
    return result.finish()


def device_bytes(plan: Plan, shape: Sequence[int], dtype: Any) -> int:
    """Bytes of device memory at the plan's peak: its input stays, and around each pass what it reads and writes."""
    leading = math.prod(shape) // math.prod(plan.source.shape)
    held = math.prod(shape) * dtype.itemsize
    before, peak, width = 0, int(held), dtype
    for step in plan.passes:
        width = step.written(width)
        channels = len(step.post) if step.channels else 1
        after = leading * channels * math.prod(step.grid.shape) * width.itemsize
        between = 0
        if step.order == 3 or step.antialias:
            between = 2 * 4 * leading * max(math.prod(step.seen.shape), math.prod(step.grid.shape))
        peak = max(peak, held + before + after + between)
        before = after
        leading *= channels
    return peak


def _whole(plan: Plan, x: npt.NDArray[Any], device: int, to_host: bool) -> Any:
    transfer = gpu_transfer()
    uploader = transfer.uploader(device)
    there = uploader.put(x)
    try:
        made = plan(there)
        if made is not there and not to_host:
            return made
        view = there if made is there else device_view(made)
        result = transfer.Result(view.shape, view.dtype.name, device, on_host=to_host)
        result.put(view, 0, 0)
    finally:
        uploader.release()
    return result.finish()


def _size(count: int) -> str:
    return f"{count / 2**30:.2f} GiB" if count >= 2**30 else f"{count / 2**20:.1f} MiB"


class _Slab(NamedTuple):
    """Outputs ``start <= z < stop``, and the box of the input they need."""

    start: int
    stop: int
    box: tuple[slice, ...]
    step: Pass


def _in_slabs(plan: Plan, x: npt.NDArray[Any], device: int, to_host: bool, free: int) -> Any:
    needed, name = device_bytes(plan, x.shape, x.dtype), f"a scan of shape {x.shape} {x.dtype}"
    msg = f"{name} takes {_size(needed)} of the GPU, which has {_size(free)} free"
    if len(plan.passes) != 1:
        msg += f", and {len(plan.passes)} passes cannot be done in slabs: use the CPU"
        raise TooLargeError(msg)
    (whole,) = plan.passes
    axis = x.ndim - len(plan.source.shape)
    leading = (len(whole.post), *x.shape[:axis]) if whole.channels else x.shape[:axis]
    shape, dtype = (*leading, *plan.grid.shape), whole.written(x.dtype).name
    held = 0 if to_host else math.prod(shape) * np.dtype(dtype).itemsize
    count = 2
    while _most(whole, x, count) + held > free:
        if count >= plan.grid.shape[0]:
            raise TooLargeError(msg + ", and one plane of it is too large: use the CPU")
        count = min(2 * count, plan.grid.shape[0])
    transfer = gpu_transfer()
    uploader = transfer.uploader(device)
    result = transfer.Result(shape, dtype, device, on_host=to_host)
    seen = view_through(x, whole.seen)
    for slab in _slabs(whole, count):
        there = uploader.put(seen[(..., *slab.box)])
        try:
            view = device_view(slab.step(there))
            result.put(view, slab.start, len(leading))
        finally:
            uploader.release()
    return result.finish()


def _most(whole: Pass, x: npt.NDArray[Any], count: int) -> int:
    """Bytes on the device of the largest slab: two inputs in turn, its result, and what a kernel keeps between."""
    leading = math.prod(x.shape) // math.prod(x.shape[x.ndim - whole.grid.ndim :])
    most = 0
    for slab in _slabs(whole, count):
        voxels = leading * math.prod(s.stop - s.start for s in slab.box)
        outputs = leading * math.prod(slab.step.grid.shape)
        between = 8 * max(voxels, outputs) if whole.order == 3 or whole.antialias else 0
        width = whole.written(x.dtype).itemsize
        most = max(most, 2 * voxels * x.itemsize + between + outputs * width * len(whole.post))
    return most


def _slabs(whole: Pass, count: int) -> list[_Slab]:
    """The pass cut along its first output axis."""
    depth = whole.grid.shape[0]
    edges = sorted({depth * i // count for i in range(count + 1)})
    return [_slab(whole, a, b) for a, b in pairwise(edges)]


def _slab(whole: Pass, start: int, stop: int) -> _Slab:
    shape = (stop - start, *whole.grid.shape[1:])
    if whole.is_pointwise:
        same, box = IndexMap.identity(shape), (slice(start, stop), *(slice(0, n) for n in shape[1:]))
        grid = IndexMap.crop((start, *[0] * (len(shape) - 1)), (stop, *shape[1:])).grid(whole.grid)
        limit = tuple((0, n) for n in shape)
        return _Slab(start, stop, box, replace(whole, seen=same, index_map=same, grid=grid, limit=limit))
    size = whole.seen.shape
    corners = np.stack(np.meshgrid((start, stop - 1), *[(0, n - 1) for n in shape[1:]], indexing="ij"), -1)
    at = whole.index_map.to_input(corners.reshape(-1, len(shape)))
    step = np.abs(whole.index_map.matrix[: len(shape), : len(shape)]).max()
    reach = 2 + (_SPLINE_REACH if whole.order == 3 else 0) + (int(2 * step) + 2 if whole.antialias else 0)
    low = np.clip(np.floor(at.min(axis=0)) - reach, 0, np.array(size) - 1).astype(int)
    high = np.maximum(np.clip(np.ceil(at.max(axis=0)) + reach + 1, 0, size).astype(int), low + 1)
    box = tuple(slice(int(a), int(b)) for a, b in zip(low, high, strict=True))
    inner = tuple(int(b - a) for a, b in zip(low, high, strict=True))
    move_in = IndexMap.crop((start, *[0] * (len(shape) - 1)), (stop, *shape[1:]))
    matrix = whole.index_map.matrix @ move_in.matrix
    matrix[: len(shape), 3] -= low
    (first, last), *others = whole.limit
    limit = ((min(max(first - start, 0), shape[0]), min(max(last - start, 0), shape[0])), *others)
    part = replace(
        whole,
        seen=IndexMap.identity(inner),
        index_map=IndexMap(shape, matrix),
        grid=move_in.grid(whole.grid),
        limit=limit,
    )
    return _Slab(start, stop, box, part)
