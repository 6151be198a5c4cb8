"""A plan on a GPU: the scan goes there as it is stored, in slabs where it would not fit whole."""

from __future__ import annotations

import math
import sys
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from fastprep.core.device_view import device_view
from fastprep.core.errors import ArgumentError, DeviceError, TooLargeError
from fastprep.core.namespace import device_of, host_view, is_torch
from fastprep.ops._sample import view_through
from fastprep.pipeline.passes import Pass
from fastprep.pipeline.plan import Plan
from fastprep.pipeline.run import Run
from fastprep.pipeline.slabs import bytes_of_slabs, cut_pass
from fastprep.pipeline.transfers import download, upload
from fastprep.registry import gpu_driver, gpu_transfer

if TYPE_CHECKING:
    from fastprep.pipeline.fused import FusedPlan, FusedRun

#: Of the free memory: allocators round up, and others allocate too.
_SHARE = 0.9


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


def run_on_device(
    plan: Plan,
    x: npt.NDArray[Any],
    device: int,
    *,
    to_host: bool = False,
    share: float = 1.0,
    run: Run | None = None,
) -> Any:
    """The plan's result for a host array, on the device, or back on the host as a NumPy array.

    ``share`` is what it may take of the device's free memory, ``run`` that of `Plan`.

    Raises
    ------
    TooLargeError
        It does not fit into the device's memory, and cannot be done in slabs.
    """
    driver, transfer = gpu_driver(), gpu_transfer()
    free = int(driver.free_memory(device) * _SHARE * share)
    if not plan.passes:
        return x if to_host else _whole(plan, x, device, to_host, run)
    try:
        if device_bytes(plan, x.shape, x.dtype) <= free:
            return _whole(plan, x, device, to_host, run)
    except (MemoryError, RuntimeError) as error:
        # Others may have taken it in between.
        if not (isinstance(error, TooLargeError) or type(error).__name__ == "OutOfMemoryError"):
            raise
        transfer.forget()
        free //= 2
    return _in_slabs(plan, x, device, to_host, free)


def run_fused_on_device(
    plan: FusedPlan, arrays: Mapping[str, npt.NDArray[Any]], device: int, run: FusedRun | None = None
) -> Any:
    """The result of a plan of several sequences for host arrays, computed on the device, as a NumPy array."""
    return download(plan({name: upload(x, device) for name, x in arrays.items()}, run=run))


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


def on_device(x: Any, device: str) -> Any:
    """An array on a device such as "cuda:0": one of a GPU stays on its own."""
    if device_of(x) == "gpu":
        return x
    if is_torch(x):
        return tensor_on(x, device)
    return upload(host_view(x), int(device.partition(":")[2]))


def device_bytes(plan: Plan, shape: Sequence[int], dtype: Any) -> int:
    """Bytes of device memory at the plan's peak: its input stays, and around each pass what it reads and writes."""
    leading = math.prod(shape) // math.prod(plan.source.shape)
    held = math.prod(shape) * dtype.itemsize
    before, peak, width = 0, int(held), dtype
    for step in plan.passes:
        width = step.written(width)
        after = leading * step.made * math.prod(step.grid.shape) * width.itemsize
        peak = max(peak, held + before + after + step.between(leading))
        before = after
        leading *= step.made
    return peak


def _whole(plan: Plan, x: npt.NDArray[Any], device: int, to_host: bool, run: Run | None) -> Any:
    transfer = gpu_transfer()
    with transfer.uploader(device).sent(x) as there:
        made = plan(there, run=run)
        if made is not there and not to_host:
            return made
        view = there if made is there else device_view(made)
        result = transfer.Result(view.shape, view.dtype.name, device, on_host=to_host)
        result.put(view, 0, 0)
    return result.finish()


def _size(count: int) -> str:
    return f"{count / 2**30:.2f} GiB" if count >= 2**30 else f"{count / 2**20:.1f} MiB"


def _in_slabs(plan: Plan, x: npt.NDArray[Any], device: int, to_host: bool, free: int) -> Any:
    needed, name = device_bytes(plan, x.shape, x.dtype), f"a scan of shape {x.shape} {x.dtype}"
    msg = f"{name} takes {_size(needed)} of the GPU, which has {_size(free)} free"
    whole = plan.passes[0]
    if len(plan.passes) != 1 or not isinstance(whole, Pass):
        what = f"{len(plan.passes)} passes" if len(plan.passes) > 1 else whole.steps[0]
        msg += f", and {what} cannot be done in slabs: use the CPU"
        raise TooLargeError(msg)
    axis = x.ndim - len(plan.source.shape)
    leading = (len(whole.post), *x.shape[:axis]) if whole.channels else x.shape[:axis]
    shape, dtype = (*leading, *plan.grid.shape), whole.written(x.dtype).name
    held = 0 if to_host else math.prod(shape) * np.dtype(dtype).itemsize
    count = 2
    while bytes_of_slabs(whole, x, count) + held > free:
        if count >= plan.grid.shape[0]:
            raise TooLargeError(msg + ", and one plane of it is too large: use the CPU")
        count = min(2 * count, plan.grid.shape[0])
    transfer = gpu_transfer()
    uploader = transfer.uploader(device)
    result = transfer.Result(shape, dtype, device, on_host=to_host)
    seen = view_through(x, whole.seen)
    for slab in cut_pass(whole, count):
        with uploader.sent(seen[(..., *slab.box)]) as there:
            result.put(device_view(slab.step(there)), slab.start, len(leading))
    return result.finish()
