"""What kernels need of a CUDA runtime: CuPy gives it (`_cupy`), and tests put an emulated one in its place."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from fastprep.core.device_view import DeviceView
from fastprep.core.errors import MissingExtraError

FORKED = (
    "CUDA was in use when this process was forked, and does not survive that: start workers with "
    "multiprocessing's 'spawn', or use threads, or prepare batches on the GPU in the main process"
)


class Buffer(Protocol):
    """Memory that is kept while this object is."""

    address: int

    def is_idle(self) -> bool:
        """True once what filled it is done."""
        ...


class HostBuffer(Protocol):
    """Pinned memory of the host, which the device copies from and to by itself."""

    bytes: npt.NDArray[np.uint8]


class Stream(Protocol):
    """A queue of work, there while this object is."""

    ptr: int


class Event(Protocol):
    """A point in a stream."""

    def hold(self, stream: int) -> None:
        """Let what comes on ``stream`` wait for it; the caller goes on."""
        ...

    def wait(self) -> None:
        """Let the caller wait for it."""
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
        reads: Sequence[DeviceView],
        writes: Sequence[DeviceView],
    ) -> None:
        """Queue a kernel; ``reads`` and ``writes`` are the arrays it touches."""
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

    def adopt(self, x: Any) -> Any:
        """An array of another library as one of the driver's own, by DLPack: nothing is copied."""
        ...

    def read(self, view: DeviceView) -> npt.NDArray[Any]:
        """The numbers of a small contiguous array, waited for."""
        ...

    def total_memory(self, device: int) -> int:
        """Bytes the device has."""
        ...

    def free_memory(self, device: int) -> int:
        """Bytes that can still be had, the pool's own included."""
        ...

    def device_count(self) -> int:
        """How many there are."""
        ...

    def device_name(self, device: int) -> str:
        """What the maker calls it."""
        ...

    # ---- transfers: see `_transfer` --------------------------------------------------------------

    def own_stream(self, device: int) -> AbstractContextManager[None]:
        """Arrays of this thread work on a stream of their own inside."""
        ...

    def new_stream(self, device: int) -> Stream:
        """Another stream, which waits for none."""
        ...

    def current_stream(self, device: int) -> int:
        """The stream of the driver's own library in this thread."""
        ...

    def pinned(self, size: int, device: int) -> HostBuffer:
        """Pinned memory."""
        ...

    def is_pinned(self, address: int) -> bool:
        """Whether memory of the host is pinned."""
        ...

    def memory(self, size: int, device: int) -> Buffer:
        """Memory on the device."""
        ...

    def copy(self, to: int, source: int, size: int, device: int, stream: int) -> None:
        """Queue a copy between pinned memory and the device."""
        ...

    def event(self, device: int, stream: int) -> Event:
        """What ``stream`` has reached."""
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
        from fastprep.kernels.gpu._cupy import CupyDriver
    except ImportError as error:
        msg = "a GPU needs CuPy: pip install 'fastprep[cuda13]' (or 'fastprep[cuda12]', as nvidia-smi tells)"
        raise MissingExtraError(msg) from error
    return CupyDriver()
