"""Two arrays read side by side, in one type: a kernel is compiled for few types, not for every two of them."""

from __future__ import annotations

from fastprep.core.device_view import DeviceView
from fastprep.kernels.gpu._launch import scratch
from fastprep.kernels.gpu._pointwise import copy
from fastprep.kernels.gpu._types import compute_type, read_type

AS_THEY_ARE = ("uint8", "int16", "uint16", "float32", "float64")


def alike(a: DeviceView, b: DeviceView) -> tuple[DeviceView, DeviceView]:
    """Both in one type that holds every value of either (of integers beyond 2**53 the nearest); copied where not so."""
    names = read_type(a.dtype), read_type(b.dtype)
    if names[0] == names[1] and names[0] in AS_THEY_ARE:
        return a, b
    common = compute_type(*names)
    return _as(a, common), _as(b, common)


def _as(x: DeviceView, name: str) -> DeviceView:
    if read_type(x.dtype) == name:
        return x
    made = scratch(x, x.shape, name)
    copy(x, made, 0)
    return made
