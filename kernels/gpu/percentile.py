"""The values either side of each quantile among the voxels inside a mask, exactly, found digit by digit.

The answer is NumPy's, so this waits for the device, once.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from fastprep.core.device_view import DeviceView
from fastprep.core.order_statistics import OrderStatistics
from fastprep.kernels.gpu._chunks import BATCH, batch
from fastprep.kernels.gpu._chunks import THREADS as THREADS
from fastprep.kernels.gpu._compile import driver
from fastprep.kernels.gpu._launch import Launch, launch, scratch, tables
from fastprep.kernels.gpu._types import NUMBERS, job, read_type
from fastprep.kernels.gpu.counts import clear, count_into

_WIDE = ("int32", "uint32", "int64", "uint64", "float32", "float64")
INSTANCES = (*(f"digits<{name}>" for name in _WIDE), *(f"place<{name}>" for name in NUMBERS))
_CHUNK = 64 * THREADS
_DIGIT = 11
#: Values that are looked for in one go.
_MOST = 64
#: The struct ``Found``, in words of 64 bits.
_FOUND, _VALUES = 3 + 5 * _MOST, 3 + 4 * _MOST
_DIGITS, _PLACE = job(f"{BATCH}Piiii"), job("PPPqiiii")


def percentile(x: DeviceView, mask: DeviceView | None, q: npt.NDArray[np.float64]) -> list[OrderStatistics]:
    """Of each volume of ``x`` (B, Z, Y, X) where ``mask`` of that shape is not zero, for ``q`` (Q,) in [0, 1].

    NaN has no place in the order and is counted apart.
    """
    # The extremes tell whether any value is infinite.
    size, q = len(q), np.append(q, (0.0, 1.0))
    order = np.argsort(q, kind="stable")
    parts = [order[at : at + _MOST // 2] for at in range(0, max(len(q), 1), _MOST // 2)]
    # All are queued before the first is waited for.
    queued = [_queue(x, mask, q[part]) for part in parts]
    read = [driver().read(founds).reshape(len(x), _FOUND) for founds in queued]
    return [_statistics([founds[b] for founds in read], parts, size) for b in range(len(x))]


def _statistics(founds: list[npt.NDArray[np.int64]], parts: list[npt.NDArray[np.int64]], size: int) -> OrderStatistics:
    count, nan = (int(n) for n in founds[0][:2])
    both = np.full((2, size + 2), np.nan)
    for found, part in zip(founds, parts, strict=True):
        if count:
            both[:, part] = found[_VALUES:].view(np.float64)[: 2 * len(part)].reshape(-1, 2).T
    lower, upper = both[:, :size]
    return OrderStatistics(count, nan, lower, upper, bool(np.isinf(both[0, size:]).any()))


def _queue(x: DeviceView, mask: DeviceView | None, q: npt.NDArray[np.float64]) -> DeviceView:
    """What is found of every volume, once the device is there."""
    name, bits = read_type(x.dtype), 8 * x.dtype.itemsize
    narrow, wanted = bits <= 16, 2 * len(q)
    step = 1 << bits if narrow else max(wanted, 1) << _DIGIT
    # One piece of memory: what is found of each volume, then its counts.
    memory = scratch(x, (len(x) * (_FOUND + step),), "int64")
    founds, counts = memory[: len(x) * _FOUND], memory[len(x) * _FOUND :]
    table = tables(x, q.tobytes() or bytes(8))
    clear(memory, x)

    def place(digit: int, stage: int, first: bool, last: bool) -> None:
        packed = _PLACE.pack(counts.address, founds.address, *table.addresses, step, wanted, digit, first, last)
        launch(Launch("percentile", f"place<{name}>", packed, len(x), THREADS, 0, x, memory, (table,), stage=stage))

    if narrow:
        count_into(x, mask, counts)
        place(bits, 2, first=True, last=True)
        return founds
    chunks = -(-x[0].size // _CHUNK)
    where = batch(x, founds, mask, chunks)
    for stage, digit in enumerate(_digits(bits)):
        bits -= digit
        if chunks:
            packed = _DIGITS.pack(*where, counts.address, max(wanted, 1), bits, digit, stage == 0)
            blocks = len(x) * chunks
            launch(Launch("percentile", f"digits<{name}>", packed, blocks, THREADS, 0, x, memory, stage=1 + 2 * stage))
        place(digit, 2 + 2 * stage, first=stage == 0, last=bits == 0)
    return founds


def _digits(bits: int) -> Iterator[int]:
    while bits:
        yield min(bits, _DIGIT)
        bits -= min(bits, _DIGIT)
