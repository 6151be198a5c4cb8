from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import fastprep as fp
import oracles
from fastprep import registry
from fastprep.core.errors import ArgumentError, DTypeError
from fastprep.testing.assertions import assert_same
from layouts import DTYPES, check_layouts, same_error, tolerance, values

TOLERANCE = tolerance("window")
FUNCTIONS = ("linear", "linear_exact", "sigmoid")
# What radiologists set, from textbooks and scanners: (level, width).
PRESETS = {
    "lung": (-600, 1500),
    "mediastinum": (50, 350),
    "soft_tissue": (40, 400),
    "bone": (400, 1800),
    "brain": (40, 80),
}


def exact(x, level, width, lo=0.0, hi=1.0):
    """LINEAR_EXACT in float64."""
    return np.clip((np.asarray(x, np.float64) - level) / width + 0.5, 0, 1) * (hi - lo) + lo


def pydicom_window(x, level, width, function, out_range=(0, 1)):
    with np.errstate(over="ignore"):
        return oracles.dicom_window(x.astype(np.float64), level, width, function.upper(), out_range)


@pytest.mark.parametrize("dtype", DTYPES)
def test_every_dtype_and_layout(backend, put, dtype):
    x = values((3, 4, 5), dtype)
    truth = exact(x, 40, 400).astype(np.float32)
    check_layouts(lambda a: fp.window(a, 40, 400), truth, x, put, backend, tolerance=TOLERANCE, scale=1)


@pytest.mark.parametrize("function", FUNCTIONS)
@pytest.mark.parametrize(("level", "width"), [(40, 400), (-600, 1500), (0.5, 1.5), (1000, 2)])
@pytest.mark.parametrize("out_range", [(0, 1), (-3, 5)])
def test_pydicom(backend, put, function, level, width, out_range):
    x = np.concatenate([np.arange(-1400, 1800, 7), np.arange(level - 3, level + 3, 0.25)]).astype(np.float32)
    truth = pydicom_window(x, level, width, function, out_range)
    result = fp.window(put(x), level, width, function=function, out_range=out_range)
    assert_same(result, truth.astype(np.float32), put(x), tolerance=2e-6, scale=out_range[1] - out_range[0])


@pytest.mark.parametrize("level", [0, 40, -0.5, 3000])
@pytest.mark.parametrize("out_range", [(0, 1), (10, 200)])
def test_width_one_is_a_step(backend, put, level, out_range):
    x = np.array([level - 2, level - 1, level - 0.5, level - 0.499, level, level + 1], np.float32)
    truth = pydicom_window(x, level, 1, "linear", out_range)
    assert set(truth) == set(out_range)
    result = fp.window(put(x), level, 1, function="linear", out_range=out_range)
    assert_same(result, truth.astype(np.float32), put(x), tolerance=0)


@pytest.mark.parametrize("name", PRESETS)
def test_presets(backend, put, name):
    level, width = PRESETS[name]
    x = np.arange(-1500, 1500, 11, dtype=np.int16)
    truth = exact(x, level, width).astype(np.float32)
    assert_same(fp.window(put(x), preset=name), truth, put(x), tolerance=TOLERANCE)


@pytest.mark.parametrize("function", FUNCTIONS)
@pytest.mark.parametrize("dtype", ["float32", "float16", "float64", "uint8", "int16"])
def test_out_dtypes(backend, put, function, dtype):
    x = values((5, 7, 3), "int16")
    ends = (-1000, 3000) if dtype == "int16" else (0, 255)
    truth = pydicom_window(x, 40, 4000, function, ends)
    truth = np.rint(truth) if dtype in ("uint8", "int16") else truth
    result = fp.window(put(x), 40, 4000, function=function, out_range=ends, dtype=dtype)
    assert_same(result, truth.astype(dtype), put(x), tolerance=TOLERANCE, scale=ends[1] - ends[0])


@pytest.mark.parametrize("function", FUNCTIONS)
@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_not_finite(backend, put, function, dtype):
    x = np.array([np.nan, np.inf, -np.inf, 39.5 if function == "linear" else 40], dtype)
    result = fp.window(put(x), 40, 400, function=function)
    assert_same(result, np.array([np.nan, 1, 0, 0.5], np.float32), put(x), tolerance=TOLERANCE, scale=1)
    integers = fp.window(put(x), 40, 400, function=function, out_range=(0, 254), dtype="uint8")
    assert_same(integers, np.array([0, 254, 0, 127], np.uint8), put(x), tolerance=0)


@pytest.mark.parametrize("shape", [(0,), (2, 0, 3), (1,), (), (1, 1, 1, 1), (13,)])
def test_any_shape(backend, put, shape):
    x = np.full(shape, 40, np.float32)
    assert_same(fp.window(put(x), preset="brain"), np.full(shape, 0.5, np.float32), put(x), tolerance=0)


def test_libraries(xp):
    x = values((3, 4), "int16")
    for function in FUNCTIONS:
        truth = pydicom_window(x, 40, 400, function).astype(np.float32)
        given_ = xp.asarray(x)
        assert_same(fp.window(given_, 40, 400, function=function), truth, given_, tolerance=2e-6, scale=1)


def test_zero_dimensional_of_every_library(xp):
    x = xp.asarray(np.array(40.0, np.float32))
    assert_same(fp.window(x, preset="brain"), np.array(0.5, np.float32), x, tolerance=0)


@given(
    level=st.floats(-2000, 4000),
    width=st.floats(1, 5000),
    x=st.lists(st.floats(-5000, 5000, width=32), min_size=1, max_size=9),
)
def test_backends_agree(level, width, x):
    array = np.array(x, np.float32)
    with registry.backend("reference"):
        truth = fp.window(array, level, width)
    # float32 holds HU / width no better than this.
    scale = max(1.0, (abs(level) + 5000) / width)
    assert_same(fp.window(array, level, width), truth, array, tolerance=TOLERANCE, scale=scale)


def test_errors(backend, put):
    x = put(np.zeros((2, 2), np.float32))
    same_error(lambda: fp.window(x), ArgumentError, "expected both, or a preset")
    same_error(lambda: fp.window(x, 40), ArgumentError, "width=None")
    same_error(lambda: fp.window(x, 40, 400, preset="lung"), ArgumentError, "either, not both")
    same_error(lambda: fp.window(x, preset="liver"), ArgumentError, "lung, mediastinum")
    same_error(lambda: fp.window(x, 40, 0), ArgumentError, "above 0")
    same_error(lambda: fp.window(x, 40, float("nan")), ArgumentError, "width=nan")
    same_error(lambda: fp.window(x, 40, 0.5, function="linear"), ArgumentError, "at least 1")
    same_error(lambda: fp.window(x, 40, 400, function="LINEAR"), ArgumentError, "linear_exact, linear, sigmoid")
    same_error(lambda: fp.window(x, 40, 400, out_range=(1, 1)), ArgumentError, "out_range")
    same_error(lambda: fp.window(x, 40, 400, dtype="complex64"), DTypeError, "dtype='complex64'")
    same_error(lambda: fp.window(np.zeros(3, complex), 40, 400), DTypeError, "complex128")
    same_error(lambda: fp.window([[1.0]], 40, 400), DTypeError, "expected an array")
