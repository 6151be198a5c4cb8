"""``out = (x - dark) * gain``: every array read once, one written."""

from __future__ import annotations

import math

from fastprep.core.device_view import DeviceView
from fastprep.kernels.gpu._launch import Launch, launch, merged, scratch
from fastprep.kernels.gpu._pointwise import copy
from fastprep.kernels.gpu._types import job, read_type

THREADS = 256
#: What raw frames and results are made of; of other types a copy in float32 is read or written, which is what counts.
_READ, _WRITTEN = ("uint16", "int16", "float32"), ("float32", "uint16", "int16")
INSTANCES = tuple(f"flat_field<{i}, {o}>" for i in _READ for o in _WRITTEN)
_VOXELS, _PACK = 8, 4
_MAP = "P4q"
_JOB = job(f"PP{_MAP}{_MAP}4qq6i")
_FIRST, _LAST = -1, 9


def flat_field(x: DeviceView, dark: DeviceView | None, gain: DeviceView | None, out: DeviceView) -> None:
    """``x`` and ``out`` (B, Z, Y, X), ``out`` contiguous; ``dark`` and ``gain`` (1 or B, Z, Y, X). In float32."""
    with merged():
        given, made = x, out
        if read_type(x.dtype) not in _READ:
            given = scratch(x, x.shape, "float32")
            copy(x, given, _FIRST)
        if read_type(out.dtype) not in _WRITTEN:
            made = scratch(out, out.shape, "float32")
        _flat_field(given, dark, gain, made)
        if made is not out:
            copy(made, out, _LAST)


def _flat_field(x: DeviceView, dark: DeviceView | None, gain: DeviceView | None, out: DeviceView) -> None:
    size = math.prod(x.shape[1:])
    chunks = -(-size // (THREADS * _VOXELS))
    arrays = [view for view in (x, dark, gain, out) if view is not None]
    whole = all(view.is_contiguous and view.address % (_PACK * view.dtype.itemsize) == 0 for view in arrays)
    aligned = whole and (len(x) == 1 or size % _PACK == 0)
    packed = _JOB.pack(
        *(x.address, out.address, *_map(dark), *_map(gain), *x.strides, size, *x.shape[1:], chunks, aligned, 0)
    )
    name = f"flat_field<{read_type(x.dtype)}, {read_type(out.dtype)}>"
    launch(Launch("flat_field", name, packed, len(x) * chunks, THREADS, 0, x, out))


def _map(view: DeviceView | None) -> tuple[int, ...]:
    """The struct ``MapJob``: one map is for every volume."""
    if view is None:
        return (0, 0, 0, 0, 0)
    return (view.address, 0 if len(view) == 1 else view.strides[0], *view.strides[1:])
