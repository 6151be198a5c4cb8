"""Copies in the type computed in, for kernels that go over a volume again and again."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from fastprep.core.device_view import DeviceView
from fastprep.kernels.gpu._launch import scratch
from fastprep.kernels.gpu._pointwise import copy


def widened(x: DeviceView, real: str) -> DeviceView:
    """``x`` in C order as ``real``: itself, or a copy."""
    if x.dtype.name == real and x.is_contiguous:
        return x
    made = scratch(x, x.shape, real)
    copy(x, made, 0)
    return made


@contextmanager
def narrowed(out: DeviceView, real: str) -> Iterator[DeviceView]:
    """What to write as ``real`` for ``out``, which is in C order: itself, or what is copied to it at the end."""
    if out.dtype.name == real:
        yield out
        return
    made = scratch(out, out.shape, real)
    yield made
    copy(made, out, 0)
