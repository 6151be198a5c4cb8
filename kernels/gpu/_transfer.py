"""Volumes to the device and back: pinned memory, two slots in turn, copies on a stream of their own.

While kernels read one slot, the next volume is copied into the other. A slot is written again only when what read it
is done, and the host waits only where it would overwrite pinned memory that is still being copied.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import numpy.typing as npt

from fastprep.core.device_view import DeviceView
from fastprep.core.threads import run_slabs
from fastprep.kernels.gpu._compile import driver
from fastprep.kernels.gpu._driver import Buffer, Driver, Event, HostBuffer

#: Copied into pinned memory by all threads, then handed to the device while the next piece is copied.
_PIECE = 16 << 20
_local = threading.local()


class Uploader:
    """Two slots on a device, for the thread that made it."""

    def __init__(self, talk: Driver, device: int) -> None:
        self._driver, self._device = talk, device
        self._stream = talk.new_stream(device)
        self._side = int(self._stream.ptr)
        self._slots = [_Slot(), _Slot()]
        self._turn = 0

    @contextmanager
    def sent(self, x: npt.NDArray[Any]) -> Iterator[DeviceView]:
        """``x`` on the device, for what is queued on the current stream inside."""
        there = self._put(x)
        try:
            yield there
        finally:
            self._release()

    def _put(self, x: npt.NDArray[Any]) -> DeviceView:
        talk, device = self._driver, self._device
        slot = self._slots[self._turn]
        view = slot.view(talk, device, x)
        main = talk.current_stream(device)
        if slot.free is not None:
            slot.free.hold(self._side)
        if x.size:
            self._send(slot, x, view.address)
        slot.copied = talk.event(device, self._side)
        slot.copied.hold(main)
        return view

    def _release(self) -> None:
        talk, device = self._driver, self._device
        self._slots[self._turn].free = talk.event(device, talk.current_stream(device))
        self._turn = 1 - self._turn

    def _send(self, slot: _Slot, x: npt.NDArray[Any], address: int) -> None:
        talk, device = self._driver, self._device
        ready = x.flags.c_contiguous and x.dtype.isnative
        if ready and talk.is_pinned(x.ctypes.data):
            slot.keep = x
            talk.copy(address, x.ctypes.data, x.nbytes, device, self._side)
            return
        pinned = slot.staging(talk, device, x.nbytes)
        target = pinned.bytes[: x.nbytes].view(x.dtype.newbyteorder("=")).reshape(x.shape)
        planes = x.reshape(-1, *x.shape[-2:]) if ready else x
        into = target.reshape(planes.shape)
        step = max(1, _PIECE // max(1, x.nbytes // max(1, len(planes))))
        width = x.nbytes // len(planes)
        for start in range(0, len(planes), step):
            piece, there = planes[start : start + step], into[start : start + step]
            _copy(there, piece)
            begin, size = start * width, len(piece) * width
            talk.copy(address + begin, pinned.bytes.ctypes.data + begin, size, device, self._side)


def _copy(to: npt.NDArray[Any], source: npt.NDArray[Any]) -> None:
    run_slabs(lambda a, b: np.copyto(to[a:b], source[a:b]), len(source))


class _Slot:
    """Device memory for one volume, and pinned memory beside it; both grow to the largest seen."""

    def __init__(self) -> None:
        self._memory: Buffer | None = None
        self._size = 0
        self._pinned: HostBuffer | None = None
        self.free: Event | None = None
        self.copied: Event | None = None
        self.keep: npt.NDArray[Any] | None = None

    def view(self, talk: Driver, device: int, x: npt.NDArray[Any]) -> DeviceView:
        if self.copied is not None:
            # The pinned memory, or the caller's, is read until then.
            self.copied.wait()
        self.keep = None
        if self._memory is None or self._size < x.nbytes:
            if self.free is not None:
                self.free.wait()
            self._memory, self._size = None, 0
            self._memory = talk.memory(max(x.nbytes, 1), device)
            self._size = x.nbytes
            # Pools hand out memory that work queued on this stream may still use.
            self.free = talk.event(device, talk.current_stream(device))
        native = x.dtype.newbyteorder("=")
        flat = DeviceView(self._memory.address, (x.size,), (1,), native, device, self._memory)
        return flat.with_shape(x.shape)

    def staging(self, talk: Driver, device: int, size: int) -> HostBuffer:
        if self._pinned is None or self._pinned.bytes.size < size:
            self._pinned = None
            self._pinned = talk.pinned(size, device)
        return self._pinned


def uploader(device: int) -> Uploader:
    """The calling thread's uploader for a device."""
    talk = driver()
    made: dict[tuple[int, int], Uploader] = _local.__dict__.setdefault("uploaders", {})
    key = (id(talk), device)
    if key not in made:
        made[key] = Uploader(talk, device)
    return made[key]


def forget() -> None:
    """Give the slots of this thread back."""
    _local.__dict__.pop("uploaders", None)


class Result:
    """A volume in the making, piece by piece: on the device, or in pinned memory of the host."""

    def __init__(self, shape: tuple[int, ...], dtype: str, device: int, *, on_host: bool) -> None:
        self._driver, self._device, self._on_host = driver(), device, on_host
        self._kind = np.dtype(dtype)
        size = math.prod(shape) * self._kind.itemsize
        if on_host:
            self._host = self._driver.pinned(max(size, 1), device).bytes[:size].view(self._kind).reshape(shape)
            self._address = int(self._host.ctypes.data)
        else:
            self._array = self._driver.empty(shape, dtype, device)
            self._address = int(self._array.__cuda_array_interface__["data"][0])
        self.shape = shape

    def put(self, part: DeviceView, start: int, axis: int) -> None:
        """Copy ``part``, contiguous, to where its first index along ``axis`` is ``start``."""
        inner = math.prod(part.shape[axis + 1 :]) * self._kind.itemsize
        size, stride = part.shape[axis] * inner, self.shape[axis] * inner
        stream = self._driver.stream(part)
        for i in range(math.prod(part.shape[:axis])):
            to = self._address + i * stride + start * inner
            self._driver.copy(to, part.address + i * size, size, self._device, stream)

    def finish(self) -> Any:
        """The whole: an array of the driver's library, or a NumPy array once it is all there."""
        if not self._on_host:
            return self._array
        self._driver.event(self._device, self._driver.current_stream(self._device)).wait()
        return self._host
