"""DeviceView slices, turns and groups as NumPy does, in addresses alone."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastprep.core.device_view import BFLOAT16, DeviceView, device_view
from fastprep.core.errors import DTypeError


def view_of(x):
    return DeviceView(x.ctypes.data, x.shape, tuple(s // x.itemsize for s in x.strides), x.dtype, 0, x)


def same_place(view, x):
    assert view.shape == x.shape
    if x.size:
        assert view.address == x.ctypes.data
        steps = [(a, b) for a, b, n in zip(view.strides, x.strides, x.shape, strict=True) if n > 1]
        assert all(a * x.itemsize == b for a, b in steps)
        low, high = np.lib.array_utils.byte_bounds(x)
        assert view.span == (low, high)
        # NumPy counts an axis of length one as no gap, whatever its stride.
        assert view.is_contiguous <= x.flags.c_contiguous


@given(st.data())
def test_slices_and_transposes(data):
    shape = data.draw(st.lists(st.integers(1, 5), min_size=1, max_size=4))
    x = np.zeros(shape, np.int16)
    view = view_of(x)
    for _ in range(3):
        axes = data.draw(st.permutations(range(x.ndim)))
        x, view = x.transpose(axes), view.transpose(*axes)
        same_place(view, x)
        keys = []
        for n in x.shape:
            start = data.draw(st.integers(-n - 1, n + 1))
            stop = data.draw(st.integers(-n - 1, n + 1) | st.none())
            step = data.draw(st.sampled_from([1, 2, -1, -2]))
            keys.append(slice(start, stop, step))
        if 0 in x[tuple(keys)].shape:
            assert view[tuple(keys)].shape == x[tuple(keys)].shape
            continue
        x, view = x[tuple(keys)], view[tuple(keys)]
        same_place(view, x)


def test_integers_drop_axes():
    x = np.zeros((3, 4, 5), np.float32)
    same_place(view_of(x)[1], x[1])
    same_place(view_of(x)[:, -1], x[:, -1])
    same_place(view_of(x)[2, 1:3, 0], x[2, 1:3, 0])
    with pytest.raises(IndexError):
        view_of(x)[3]


def test_leading_axes_group_where_one_stride_serves():
    x = np.zeros((2, 3, 4, 5, 6), np.uint8)
    grouped = view_of(x).grouped(3)
    assert grouped is not None
    same_place(grouped, x.reshape(6, 4, 5, 6))
    same_place(view_of(x).grouped(2), x.reshape(24, 5, 6))
    assert view_of(x[:, ::2]).grouped(3) is None
    assert view_of(np.zeros((4, 3, 4, 5, 6), np.uint8)[::2]).grouped(3) is None
    assert view_of(x.transpose(1, 0, 2, 3, 4)).grouped(3) is None
    one = x[:1, ::2]
    grouped = view_of(one).grouped(3)
    assert grouped is not None and grouped.shape == (2, 4, 5, 6)
    assert view_of(x[0, 0]).grouped(3).shape == (1, 4, 5, 6)


def test_bfloat16_is_a_float_of_two_bytes():
    assert (BFLOAT16.name, BFLOAT16.kind, BFLOAT16.itemsize) == ("bfloat16", "f", 2)


def test_what_has_no_meaning_is_refused():
    class Complex:
        __cuda_array_interface__ = {"data": (64, False), "shape": (2,), "typestr": "<c8", "strides": None}  # noqa: RUF012

        def __dlpack_device__(self):
            return (2, 0)

    with pytest.raises(DTypeError, match="complex64: expected bool, integers, or floats"):
        device_view(Complex())
