"""Small tables on the device: uploaded once, found again by what they hold.

A training loop asks for the same taps on every volume; then a call uploads nothing. A table belongs to the stream it
was uploaded on, so a later kernel of that stream finds it there without waiting.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from typing import NamedTuple

from fastprep.kernels.gpu._driver import Buffer, Driver

_MOST = 256
_lock = threading.Lock()
_tables: OrderedDict[tuple[int, int, int, tuple[bytes, ...]], Buffer] = OrderedDict()


class Table(NamedTuple):
    """Addresses on the device, valid as long as this is kept."""

    addresses: tuple[int, ...]
    memory: Buffer


def on_device(driver: Driver, device: int, stream: int, *parts: bytes) -> Table:
    """``parts`` on the device, each aligned to 16 bytes, in one piece of memory."""
    key = (id(driver), device, stream, parts)
    with _lock:
        found = _tables.get(key)
        if found is None:
            found = _tables[key] = driver.upload(b"".join(_padded(part) for part in parts), device, stream)
            while len(_tables) > _MOST and next(iter(_tables.values())).is_idle():
                _tables.popitem(last=False)
        else:
            _tables.move_to_end(key)
    addresses, at = [], found.address
    for part in parts:
        addresses.append(at)
        at += len(_padded(part))
    return Table(tuple(addresses), found)


def _padded(part: bytes) -> bytes:
    return part + bytes(-len(part) % 16)
