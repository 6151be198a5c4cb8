from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import fastprep as fp
from fastprep import Grid, Image
from fastprep.core.errors import ArgumentError, NonFiniteError, ShapeError
from fastprep.core.ramp import Ramp
from fastprep.testing.assertions import assert_same, to_numpy
from layouts import check_layouts, same_error, tolerance, values

TOL = tolerance("minmax")


def truth(x, inside=None, lo=0.0, hi=1.0, clip=True):
    """Of one volume, in float64."""
    wide = x.astype(np.float64)
    some = wide if inside is None else wide[inside]
    y = (wide - some.min()) / np.ptp(some) * (hi - lo) + lo
    return (np.clip(y, lo, hi) if clip else y).astype(x.dtype if x.dtype.kind == "f" else np.float32)


@pytest.mark.parametrize("dtype", ["bool", "uint8", "int16", "float16", "float32", "float64"])
def test_every_dtype_and_layout(backend, put, dtype):
    x = values((5, 6, 7), dtype)
    check_layouts(fp.minmax, truth(x), x, put, backend, tolerance=TOL if dtype != "float16" else 1e-3)


@pytest.mark.parametrize("clip", [True, False])
def test_inside_masks_of_a_batch(backend, put, clip):
    x, mask = values((2, 4, 5, 6), "int16"), values((2, 4, 5, 6), "bool", 1)
    for marks in (mask, mask[0]):
        result = fp.minmax(put(x), mask=put(marks), out_range=(-1, 3), clip=clip)
        each = [truth(v, m, -1, 3, clip) for v, m in zip(x, np.broadcast_to(marks, x.shape), strict=True)]
        assert_same(result, np.stack(each), put(x), tolerance=TOL)


def test_a_picture_of_8_bits(backend, put):
    x = values((6, 7), "uint16")
    result = to_numpy(fp.minmax(put(x), out_range=(0, 255), dtype="uint8"))
    assert result.dtype == np.uint8 and result.min() == 0 and result.max() == 255
    assert np.abs(result - truth(x, hi=255)).max() <= 0.5 + 1e-4


@settings(max_examples=20)
@given(st.integers(0, 99), st.floats(-1e3, 1e3), st.floats(0.5, 1e3))
def test_nothing_leaves_the_range(seed, lo, width):
    x = values((3, 4, 5), "float32", seed)
    result = fp.minmax(x, mask=values((3, 4, 5), "bool", seed + 1), out_range=(lo, lo + width))
    assert result.min() >= np.float32(lo) and result.max() <= np.float32(lo + width)


def test_images(backend, put):
    x, grid = values((5, 6, 7), "int16"), Grid.from_spacing((5, 6, 7), (2, 1, 1))
    result = fp.minmax(Image(put(x), grid, modality="MR", rescale=Ramp(-2.0, 5.0)))
    assert result.grid is grid and result.modality == "MR" and result.rescale.is_identity
    assert_same(result.array, truth(-x.astype(np.float64)).astype(np.float32), put(x), tolerance=TOL)


def test_libraries(xp):
    x = values((5, 6, 7), "int16")
    assert_same(fp.minmax(xp.asarray(x)), truth(x), xp.asarray(x), tolerance=TOL)


def test_errors(backend, put):
    x = values((3, 4, 5), "float32")
    odd = x.copy()
    odd[0, 0, 0] = np.nan
    same_error(lambda: fp.minmax(put(odd)), NonFiniteError, "x holds 1 values that are NaN")
    same_error(lambda: fp.minmax(put(x), mask=put(np.zeros(x.shape, bool))), ArgumentError, "mask holds no voxel")
    same_error(lambda: fp.minmax(put(x * 0 + 4)), ArgumentError, "x is constant, 4")
    same_error(lambda: fp.minmax(put(x), out_range=(1, 1)), ArgumentError, r"out_range=\(1, 1\): expected two finite")
    same_error(lambda: fp.minmax(put(x), mask=put(np.ones((3, 4), bool))), ShapeError, r"mask of shape \(3, 4\)")
