"""What kernels need of a CUDA runtime, and CuPy as the one that gives it."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from fastprep.core.device_view import DeviceView
from fastprep.core.errors import DeviceError, KernelError, MissingExtraError


class Buffer(Protocol):
    """Device memory that is kept while this object is."""

    address: int

    def is_idle(self) -> bool:
        """True once what filled it is done."""
        ...


class Driver(Protocol):
    """The calls kernels make; nothing in fastprep reaches a GPU by another way."""

    def function(self, stem: str, expression: str, device: int) -> Any:
        """The compiled kernel, compiled on first use."""
        ...

    def launch(
        self,
        function: Any,
        blocks: int,
        threads: int,
        shared: int,
        parameters: Sequence[bytes],
        device: int,
        stream: int,
        views: Sequence[DeviceView],
    ) -> None:
        """Queue a kernel; ``views`` is the memory it touches."""
        ...

    def stream(self, view: DeviceView) -> int:
        """The stream the library of an array works on now."""
        ...

    def upload(self, data: bytes, device: int, stream: int) -> Buffer:
        """Memory on the device that will hold ``data`` for whatever comes later on ``stream``."""
        ...

    def empty(self, shape: Sequence[int], dtype: str, device: int) -> Any:
        """An array of the driver's own library."""
        ...

    def read(self, view: DeviceView) -> npt.NDArray[Any]:
        """The numbers of a small contiguous array, waited for."""
        ...


def make_driver() -> Driver:
    """CuPy on this machine's GPU.

    Raises
    ------
    MissingExtraError
        CuPy is not installed.
    DeviceError
        There is no CUDA device.
    """
    try:
        return CupyDriver()
    except ImportError as error:
        msg = "CUDA arrays need CuPy: pip install 'fastprep[cuda13]' (or 'fastprep[cuda12]')"
        raise MissingExtraError(msg) from error


class _PinnedBuffer:
    """A table on the device and the pinned memory it is copied from: the copy may still be on its way."""

    def __init__(self, data: bytes, stream: int) -> None:
        import cupy

        self._host = cupy.cuda.alloc_pinned_memory(len(data))
        ctypes.memmove(self._host.ptr, data, len(data))
        with cupy.cuda.ExternalStream(stream):
            self._memory = cupy.cuda.alloc(len(data))
            self._memory.copy_from_host_async(ctypes.c_void_p(self._host.ptr), len(data))
            self._copied = cupy.cuda.Event(disable_timing=True)
            self._copied.record()
        self.address = int(self._memory.ptr)

    def is_idle(self) -> bool:
        return bool(self._copied.done)


class CupyDriver:
    """CUDA through CuPy: its compiler with its cache on disk, its memory pool, its current stream."""

    def __init__(self) -> None:
        import cupy

        self._cupy = cupy
        self._functions: dict[tuple[str, str, int], tuple[int, Any]] = {}
        self._shared: dict[int, int] = {}
        try:
            count = cupy.cuda.runtime.getDeviceCount()
        except cupy.cuda.runtime.CUDARuntimeError as error:
            msg = f"no CUDA device: {error}"
            raise DeviceError(msg) from error
        if count == 0:
            msg = "no CUDA device"
            raise DeviceError(msg)

    def function(self, stem: str, expression: str, device: int) -> int:
        key = (stem, expression, device)
        found = self._functions.get(key)
        if found is None:
            found = self._functions[key] = self._compiled(stem, expression, device)
        return found[0]

    def _compiled(self, stem: str, expression: str, device: int) -> tuple[int, Any]:
        from fastprep.kernels.gpu._compile import OPTIONS, text

        with self._cupy.cuda.Device(device):
            module = self._cupy.RawModule(code=text(stem), options=OPTIONS, name_expressions=[expression])
            try:
                kernel = module.get_function(expression)
                return int(kernel.kernel.ptr), kernel
            except self._cupy.cuda.compiler.CompileException as error:
                msg = f"the CUDA kernel {expression} of {stem}.cu does not compile:\n{error}"
                raise KernelError(msg) from error

    def launch(
        self,
        function: int,
        blocks: int,
        threads: int,
        shared: int,
        parameters: Sequence[bytes],
        device: int,
        stream: int,
        views: Sequence[DeviceView],
    ) -> None:
        runtime = self._cupy.cuda.runtime
        before = runtime.getDevice()
        if before != device:
            runtime.setDevice(device)
        try:
            if shared > self._shared.get(function, 48 << 10):
                kernel = next(kernel for pointer, kernel in self._functions.values() if pointer == function)
                kernel.max_dynamic_shared_size_bytes = shared
                self._shared[function] = shared
            kept = [ctypes.c_char_p(p) for p in parameters]
            addresses = (ctypes.c_void_p * len(kept))(*[ctypes.cast(p, ctypes.c_void_p).value for p in kept])
            self._cupy.cuda.driver.launchKernel(
                function, blocks, 1, 1, threads, 1, 1, shared, stream, ctypes.addressof(addresses), 0
            )
        finally:
            if before != device:
                runtime.setDevice(before)

    def stream(self, view: DeviceView) -> int:
        return int(self._cupy.cuda.get_current_stream().ptr) if view.stream is None else view.stream

    def upload(self, data: bytes, device: int, stream: int) -> Buffer:
        with self._cupy.cuda.Device(device):
            return _PinnedBuffer(data, stream)

    def empty(self, shape: Sequence[int], dtype: str, device: int) -> Any:
        with self._cupy.cuda.Device(device):
            return self._cupy.empty(tuple(shape), dtype)

    def read(self, view: DeviceView) -> npt.NDArray[Any]:
        stream = self.stream(view)
        result = np.empty(view.shape, view.dtype)
        runtime = self._cupy.cuda.runtime
        with self._cupy.cuda.Device(view.device):
            runtime.memcpyAsync(result.ctypes.data, view.address, result.nbytes, runtime.memcpyDeviceToHost, stream)
            runtime.streamSynchronize(stream)
        return result
