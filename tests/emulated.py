"""A GPU that is not there: arrays in its memory, a PyTorch tensor that says it is on it, and the driver beneath.

`use()` puts the driver in CuPy's place. Every launch runs the CUDA source itself, compiled by g++ (see `emulator`),
with its lanes forward, in reverse and shuffled, and the three must leave the same bits; the guards around every array
must be untouched.
"""

from __future__ import annotations

import ctypes
import os
import re
import sys
import weakref
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

import emulator
from fastprep.core.device_view import DeviceView
from fastprep.kernels.gpu import _compile

_GUARD = 256
_STREAM = 7
_CUDA = (2, 0)


class Memory:
    """Bytes of the device between two guards."""

    alive: ClassVar[weakref.WeakSet[Memory]] = weakref.WeakSet()

    def __init__(self, nbytes: int) -> None:
        whole = np.full(nbytes + 2 * _GUARD + 64, 0xA5, np.uint8)
        start = _GUARD + (-(whole.ctypes.data + _GUARD)) % 64
        self._before, self.bytes, self._after = whole[:start], whole[start : start + nbytes], whole[start + nbytes :]
        Memory.alive.add(self)

    @property
    def address(self) -> int:
        return int(self.bytes.ctypes.data)

    def is_intact(self) -> bool:
        return bool((self._before == 0xA5).all() and (self._after == 0xA5).all())

    def is_idle(self) -> bool:
        return True


class DeviceArray:
    """What CuPy's array is to fastprep. Like CuPy's, it becomes no NumPy array by itself."""

    def __init__(self, memory: Memory, host: npt.NDArray[Any], device: int = 0) -> None:
        self.memory, self._host, self._device = memory, host, device
        self.shape, self.dtype, self.ndim, self.size = host.shape, host.dtype, host.ndim, host.size

    @property
    def __cuda_array_interface__(self) -> dict[str, Any]:
        return {**self._host.__array_interface__, "version": 3, "stream": _STREAM}

    def __dlpack_device__(self) -> tuple[int, int]:
        return (2, self._device)

    def __array_namespace__(self, api_version: str | None = None) -> Any:
        return sys.modules[__name__]

    def __getitem__(self, key: Any) -> DeviceArray:
        return DeviceArray(self.memory, self._host[key], self._device)

    def get(self) -> npt.NDArray[Any]:
        return self._host.copy()

    def __array__(self, *_: Any, **__: Any) -> npt.NDArray[Any]:
        msg = "implicit conversion of a device array to NumPy"
        raise TypeError(msg)


def put(x: npt.ArrayLike, device: int = 0) -> DeviceArray:
    """A NumPy array on a device, with the same strides."""
    host = np.asarray(x)
    if host.size == 0 or not host.dtype.isnative:
        host = np.ascontiguousarray(host.astype(host.dtype.newbyteorder("=")))
    low, high = np.lib.array_utils.byte_bounds(host)
    memory = Memory(high - low)
    at = host.__array_interface__["data"][0] - low
    there = np.ndarray(host.shape, host.dtype, memory.bytes, at, host.strides) if host.size else host.copy()
    there[...] = host
    return DeviceArray(memory, there, device)


class Event:
    """A point in a stream; everything here is done at once, so waiting is only written down."""

    def __init__(self, driver: Driver, stream: int) -> None:
        self._driver, self._stream = driver, stream

    def hold(self, stream: int) -> None:
        self._driver.log.append(("hold", (stream, self._stream)))

    def wait(self) -> None:
        self._driver.log.append(("wait", self._stream))


class Driver:
    """Kernels run by the emulator, memory from NumPy, and a log of every call."""

    def __init__(self) -> None:
        self.sanitize = os.environ.get("FASTPREP_EMULATOR") == "sanitize"
        self.log: list[tuple[str, Any]] = []
        self.devices: set[int] = set()
        self.free = 1 << 40
        self._current, self._streams = _STREAM, _STREAM
        self._modules: dict[tuple[str, str], emulator.Module] = {}

    def count(self, what: str) -> int:
        """Calls of a kind since the log was cleared."""
        return sum(kind == what for kind, _ in self.log)

    def function(self, stem: str, expression: str, device: int) -> tuple[emulator.Module, str]:
        # Instantiations of one first type are built together: one by one would take long, and all at once too. Of those
        # under sanitizers, which take four times as long, few are asked for.
        kind = expression if self.sanitize else _first_type(expression)
        if (stem, kind) not in self._modules:
            alike = [name for name in _compile.instances(stem) if kind in (name, _first_type(name))]
            assert expression in alike, f"{expression} is not among the instances of {stem}"
            text = _compile.text(stem)
            self._modules[stem, kind] = emulator.build(text, alike, name=f"{stem}.cu", sanitize=self.sanitize)
        return self._modules[stem, kind], expression

    def launch(
        self,
        function: tuple[emulator.Module, str],
        blocks: int,
        threads: int,
        shared: int,
        parameters: Sequence[bytes],
        device: int,
        stream: int,
        reads: Sequence[DeviceView],
        writes: Sequence[DeviceView],
    ) -> None:
        module, expression = function
        self.devices.add(device)
        self.log.append(("launch", (expression, blocks, stream)))
        touched = [_bytes_of(view) for view in writes if view.size]
        before = [memory.copy() for memory in touched]
        first: list[npt.NDArray[np.uint8]] = []
        for order in emulator.ORDERS:
            for memory, was in zip(touched, before, strict=True):
                memory[...] = was
            module.launch(expression, blocks, threads, shared, parameters, order=order, seed=blocks)
            if not first:
                first = [memory.copy() for memory in touched]
            same = all(np.array_equal(a, b) for a, b in zip(touched, first, strict=True))
            assert same, f"{expression}: other bits with lanes in {order} order"
        for memory in list(Memory.alive):
            assert memory.is_intact(), f"{expression}: wrote beyond an array"

    def stream(self, view: DeviceView) -> int:
        return self._current if view.stream is None else view.stream

    def upload(self, data: bytes, device: int, stream: int) -> Memory:
        self.log.append(("upload", len(data)))
        memory = Memory(len(data))
        memory.bytes[...] = np.frombuffer(data, np.uint8)
        return memory

    def empty(self, shape: Sequence[int], dtype: str, device: int) -> DeviceArray:
        kind = np.dtype(dtype)
        self.log.append(("allocate", tuple(shape)))
        memory = Memory(int(np.prod(shape)) * kind.itemsize)
        return DeviceArray(memory, memory.bytes.view(kind).reshape(tuple(shape)), device)

    def total_memory(self, device: int) -> int:
        return 1 << 40

    def free_memory(self, device: int) -> int:
        return self.free

    def device_count(self) -> int:
        return 2

    def device_name(self, device: int) -> str:
        return "emulator"

    @contextmanager
    def own_stream(self, device: int) -> Iterator[None]:
        before, self._current = self._current, self.new_stream(device).ptr
        yield
        self._current = before

    def new_stream(self, device: int) -> Any:
        self._streams += 1
        return SimpleNamespace(ptr=self._streams)

    def current_stream(self, device: int) -> int:
        return self._current

    def pinned(self, size: int, device: int) -> Memory:
        self.log.append(("pin", size))
        return Memory(size)

    def is_pinned(self, address: int) -> bool:
        return any(m.address <= address < m.address + max(m.bytes.size, 1) for m in Memory.alive)

    def memory(self, size: int, device: int) -> Memory:
        self.log.append(("memory", size))
        return Memory(size)

    def copy(self, to: int, source: int, size: int, device: int, stream: int) -> None:
        self.log.append(("copy", (size, stream)))
        ctypes.memmove(to, source, size)

    def event(self, device: int, stream: int) -> Event:
        self.log.append(("event", stream))
        return Event(self, stream)

    def read(self, view: DeviceView) -> npt.NDArray[Any]:
        self.log.append(("synchronize", None))
        return _bytes_of(view).view(view.dtype).reshape(view.shape).copy()


@contextmanager
def use() -> Iterator[Driver]:
    """The emulated driver in CuPy's place."""
    driver = Driver()
    before = _compile.use_driver(driver)
    try:
        yield driver
    finally:
        _compile.use_driver(before)


def torch_on_cuda(monkeypatch: Any, stream: int = _STREAM) -> Callable[[Any], Any]:
    """Makes a PyTorch tensor one that says it is on CUDA device 0, where ``stream`` is current."""
    import torch

    class CudaTensor(torch.Tensor):
        @property
        def device(self) -> Any:
            return torch.device("cuda", 0)

        @property
        def is_cuda(self) -> bool:
            return True

        def __dlpack_device__(self) -> tuple[int, int]:
            return _CUDA

        def cpu(self) -> Any:
            return self.as_subclass(torch.Tensor)

    class Stream:
        cuda_stream = stream

    monkeypatch.setattr(torch.cuda, "current_stream", lambda device: Stream)
    return lambda tensor: tensor.as_subclass(CudaTensor)


def _first_type(expression: str) -> str:
    """What a kernel is instantiated with first; one that is no template has nothing."""
    return [*re.split(r"[<,>]", expression), ""][1]


def _bytes_of(view: DeviceView) -> npt.NDArray[np.uint8]:
    low, high = view.span
    return np.frombuffer((ctypes.c_uint8 * (high - low)).from_address(low), np.uint8).view()
