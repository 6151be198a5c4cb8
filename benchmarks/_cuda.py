"""Where the GPU benchmarks run: a CUDA device through CuPy, or the emulated one of the tests.

The emulated lab holds every job to its outputs on a machine without a GPU. There the peers compute on the host (SciPy
for CuPy, scikit-image for cuCIM, CPU tensors for CUDA's), and what a clock says means nothing.
"""

from __future__ import annotations

import importlib
import importlib.util
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from typing import Any
from unittest import mock

import _harness as h
import numpy as np

PACKAGES = ("fastprep", "cupy-cuda13x", "cupy-cuda12x", "torch", "monai", "torchio", "cucim-cu13", "numpy", "SimpleITK")
#: Written before each timed call: the device is busy while the host queues the call, so that its launches wait for
#: nothing, and what the last call left in the L2 cache is gone.
_BUSY_BYTES = 4 << 30
_COPY_BYTES = 2 << 30


class Lab:
    """What jobs ask of the device; arrays of ``xp`` are CuPy's, or NumPy's where it is emulated."""

    emulated: bool
    xp: Any
    ndimage: Any
    #: cuCIM's namespace that mirrors scikit-image.
    skimage: str
    torch_device: str

    def put(self, x: h.Array) -> Any:
        """A NumPy array on the device, as fastprep takes it."""
        raise NotImplementedError

    def native(self, x: Any) -> Any:
        """Such an array, a result of fastprep, or one of a peer as an array of ``xp``."""
        raise NotImplementedError

    def tensor(self, x: Any) -> Any:
        """The memory of an array of `put` as a PyTorch tensor for peers."""
        raise NotImplementedError

    def own_tensor(self, x: Any) -> Any:
        """The same as a PyTorch tensor for fastprep."""
        raise NotImplementedError

    def pinned(self, x: h.Array) -> h.Array:
        """A copy in pinned memory of the host."""
        raise NotImplementedError

    def upload(self, to: Any, source: h.Array) -> Any:
        """One cudaMemcpyAsync from pinned memory into an array of `put`."""
        raise NotImplementedError

    def copy(self, to: Any, source: Any) -> Any:
        """One copy on the device between arrays of `put`."""
        raise NotImplementedError

    def synchronize(self) -> None:
        """Wait for the device."""

    def free(self) -> None:
        """Give back what memory pools keep."""

    def mark(self) -> Any:
        """A point in the device's default stream."""
        raise NotImplementedError

    def between(self, start: Any, stop: Any) -> float:
        """Milliseconds from one mark to another, waited for."""
        raise NotImplementedError

    def keep_busy(self) -> None:
        """Queue work of about a millisecond."""

    def warm(self) -> None:
        """Let the clocks rise: an idle device turns them down."""
        stop = time.monotonic() + (0 if self.emulated else 0.3)
        while time.monotonic() < stop:
            self.keep_busy()
            self.synchronize()

    def device_ms(self, call: Callable[[], Any], *, busy: bool = True) -> float:
        """Milliseconds of the device for a call; the host has a head start if ``busy``."""
        self.synchronize()
        if busy:
            self.keep_busy()
        start = self.mark()
        out = call()
        stop = self.mark()
        del out
        return self.between(start, stop)

    def facts(self) -> dict[str, Any]:
        """The machine."""
        raise NotImplementedError

    def host_ms(self, call: Callable[[int], Any], count: int) -> float:
        """Milliseconds of the host per call, ``count`` calls queued one after another without waiting."""
        self.synchronize()
        start = time.perf_counter()
        for i in range(count):
            call(i)
        taken = time.perf_counter() - start
        self.synchronize()
        return taken / count * 1e3

    def copy_bandwidth(self) -> float:
        """Bytes read plus written per second by a large copy on the device: the median of some."""
        size = 1 << 16 if self.emulated else _COPY_BYTES
        source, to = (self.put(np.ones(size, np.uint8)) for _ in range(2))
        self.warm()
        taken = [self.device_ms(lambda: self.copy(to, source)) for _ in range(15)]
        return 2 * size / (statistics.median(taken[3:]) / 1e3)


class CudaLab(Lab):
    """The device CuPy has current. CuPy and PyTorch both work on CUDA's default stream, and so do the events."""

    emulated = False
    skimage = "cucim.skimage"
    torch_device = "cuda"

    def __init__(self) -> None:
        self.xp = importlib.import_module("cupy")
        self.ndimage = importlib.import_module("cupyx.scipy.ndimage")
        self._runtime = self.xp.cuda.runtime
        self._stream = self.xp.cuda.Stream.null
        self._busy = self.xp.empty(_BUSY_BYTES, np.uint8)

    def put(self, x: h.Array) -> Any:
        return self.xp.asarray(x)

    def native(self, x: Any) -> Any:
        if isinstance(x, np.ndarray):
            return self.xp.asarray(x)
        torch = sys.modules.get("torch")
        if torch is not None and isinstance(x, torch.Tensor):
            plain = x.as_tensor() if hasattr(x, "as_tensor") else x
            return self.xp.from_dlpack(plain.to(self.torch_device).contiguous())
        return x

    def tensor(self, x: Any) -> Any:
        return importlib.import_module("torch").from_dlpack(x)

    own_tensor = tensor

    def pinned(self, x: h.Array) -> h.Array:
        made: h.Array = importlib.import_module("cupyx").empty_pinned(x.shape, x.dtype)
        made[...] = x
        return made

    def upload(self, to: Any, source: h.Array) -> Any:
        kind = self._runtime.memcpyHostToDevice
        self._runtime.memcpyAsync(to.data.ptr, source.ctypes.data, source.nbytes, kind, self._stream.ptr)
        return to

    def copy(self, to: Any, source: Any) -> Any:
        kind = self._runtime.memcpyDeviceToDevice
        self._runtime.memcpyAsync(to.data.ptr, source.data.ptr, source.nbytes, kind, self._stream.ptr)
        return to

    def synchronize(self) -> None:
        self._runtime.deviceSynchronize()

    def free(self) -> None:
        self.synchronize()
        self.xp.get_default_memory_pool().free_all_blocks()
        torch = sys.modules.get("torch")
        if torch is not None:
            torch.cuda.empty_cache()

    def mark(self) -> Any:
        event = self.xp.cuda.Event()
        event.record(self._stream)
        return event

    def between(self, start: Any, stop: Any) -> float:
        stop.synchronize()
        return float(self.xp.cuda.get_elapsed_time(start, stop))

    def keep_busy(self) -> None:
        self._runtime.memsetAsync(self._busy.data.ptr, 0x5A, _BUSY_BYTES, self._stream.ptr)

    def facts(self) -> dict[str, Any]:
        about = self._runtime.getDeviceProperties(self._runtime.getDevice())
        name = about["name"]
        return {
            "gpu": name.decode() if isinstance(name, bytes) else str(name),
            "gpu_memory_gib": round(about.get("totalGlobalMem", 0) / 2**30, 1),
            "l2_mib": round(about.get("l2CacheSize", 0) / 2**20, 1),
            "driver": _driver_version(),
            "cuda": _dotted(self._runtime.runtimeGetVersion()),
            "cuda_of_driver": _dotted(self._runtime.driverGetVersion()),
            **_host_facts(),
        }


class EmulatedLab(Lab):
    """The device of ``tests/emulated.py``: the real kernels, compiled by g++."""

    emulated = True
    skimage = "skimage"
    torch_device = "cpu"

    def __init__(self, module: Any, driver: Any, stack: ExitStack) -> None:
        self.xp = np
        self.ndimage = importlib.import_module("scipy.ndimage")
        self._module, self.driver, self._stack = module, driver, stack
        self._to_cuda: Callable[[Any], Any] | None = None

    def put(self, x: h.Array) -> Any:
        return self._module.put(x)

    def native(self, x: Any) -> Any:
        if isinstance(x, self._module.DeviceArray):
            return x.get()
        return np.asarray(x.cpu().numpy() if hasattr(x, "cpu") else x)

    def tensor(self, x: Any) -> Any:
        return importlib.import_module("torch").from_numpy(x.get())

    def own_tensor(self, x: Any) -> Any:
        if self._to_cuda is None:
            importlib.import_module("torch")
            self._to_cuda = self._module.torch_on_cuda(_Patch(self._stack))
        return self._to_cuda(self.tensor(x))

    def pinned(self, x: h.Array) -> h.Array:
        made: h.Array = self.driver.pinned(x.nbytes, 0).bytes.view(x.dtype).reshape(x.shape)
        made[...] = x
        return made

    def upload(self, to: Any, source: h.Array) -> Any:
        address = to.__cuda_array_interface__["data"][0]
        self.driver.copy(address, source.ctypes.data, source.nbytes, 0, self.driver.current_stream(0))
        return to

    def copy(self, to: Any, source: Any) -> Any:
        address = source.__cuda_array_interface__["data"][0]
        self.driver.copy(to.__cuda_array_interface__["data"][0], address, source.size, 0, 0)
        return to

    def mark(self) -> Any:
        return time.perf_counter()

    def between(self, start: Any, stop: Any) -> float:
        return (stop - start) * 1e3

    def facts(self) -> dict[str, Any]:
        return {"gpu": "emulated", **_host_facts()}


class _Patch:
    """pytest's monkeypatch, as much of it as the emulated tensors ask for."""

    def __init__(self, stack: ExitStack) -> None:
        self._stack = stack

    def setattr(self, target: Any, name: str, value: Any) -> None:
        self._stack.enter_context(mock.patch.object(target, name, value))


def cuda_is_here() -> bool:
    """True with CuPy and a CUDA device."""
    return importlib.util.find_spec("cupy") is not None and bool(importlib.import_module("cupy").cuda.is_available())


@contextmanager
def open_lab() -> Iterator[Lab]:
    """The CUDA device, or without one its emulation.

    Raises
    ------
    RuntimeError
        Neither: the emulator needs g++.
    """
    if cuda_is_here():
        yield CudaLab()
        return
    emulated, emulator = importlib.import_module("emulated"), importlib.import_module("emulator")
    why_not = emulator.missing()
    if why_not:
        raise RuntimeError(why_not)
    with ExitStack() as stack:
        yield EmulatedLab(emulated, stack.enter_context(emulated.use()), stack)


def _host_facts() -> dict[str, Any]:
    return {
        "cpu": h.cpu_name(),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "date": time.strftime("%Y-%m-%d"),
        "versions": {name: found for name in PACKAGES if (found := h.version(name))},
    }


def _driver_version() -> str | None:
    with suppress(OSError, subprocess.SubprocessError):
        query = ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"]
        done = subprocess.run(query, capture_output=True, text=True, check=True, timeout=30)
        return done.stdout.split("\n")[0].strip() or None
    return None


def _dotted(number: int) -> str:
    """CUDA's 13000 as 13.0."""
    return f"{number // 1000}.{number % 1000 // 10}"
