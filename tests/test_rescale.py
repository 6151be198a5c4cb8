from __future__ import annotations

import numpy as np
import pytest

import fastprep as fp
from fastprep.core.errors import ArgumentError
from fastprep.testing.assertions import assert_same
from layouts import DTYPES, check_layouts, same_error, tolerance, values

TOLERANCE = tolerance("rescale")


@pytest.mark.parametrize("dtype", DTYPES)
def test_every_dtype_and_layout(backend, put, dtype):
    x = values((3, 4, 5), dtype)
    out = dtype if dtype.startswith("float") else "float32"
    truth = (x.astype(np.float64) * 1.5 - 1024).astype(out)
    check_layouts(lambda a: fp.rescale(a, 1.5, -1024), truth, x, put, backend, tolerance=TOLERANCE)


# Half to even, then the ends of each type; NaN becomes 0.
HALVES = [-2.5, -1.5, -0.5, 0.5, 1.5, 2.5, 3.5, 126.5, 127.5, 128.5, 254.5, 255.5, np.nan, 1e9, -1e9, np.inf, -np.inf]
ROUNDED = [-2, -2, 0, 0, 2, 2, 4, 126, 128, 128, 254, 256, 0, 10**9, -(10**9), 2**70, -(2**70)]


@pytest.mark.parametrize("dtype", ["int8", "uint8", "int16", "uint16", "int32", "uint32", "int64", "uint64"])
@pytest.mark.parametrize("source", ["float16", "float32", "float64"])
def test_integers_round_half_to_even_and_saturate(backend, put, source, dtype):
    with np.errstate(over="ignore"):
        x = np.array(HALVES).astype(source)
    info = np.iinfo(dtype)
    # float16 has no 1e9: it is infinite there.
    exact = [(2**70 if v > 0 else -(2**70)) if np.isinf(v) else r for v, r in zip(x, ROUNDED, strict=True)]
    truth = np.array([min(max(r, info.min), info.max) for r in exact], dtype)
    assert_same(fp.rescale(put(x), dtype=dtype), truth, put(x), tolerance=0)


@pytest.mark.parametrize("dtype", ["int8", "uint8", "int16", "uint16"])
def test_float64_is_rounded_once(backend, put, dtype):
    # Rounded to float32 first, these would be ties.
    x = np.array([1.4999999999, 2.5000000001, 0.5000000001, 0.4999999999])
    assert_same(fp.rescale(put(x), dtype=dtype), np.array([1, 3, 1, 0], dtype), put(x), tolerance=0)


@pytest.mark.parametrize("dtype", ["int64", "uint64", "int32", "uint32"])
def test_wide_integers_reach_their_ends(backend, put, dtype):
    info = np.iinfo(dtype)
    x = np.array([info.min, info.max, 5], dtype)
    assert_same(fp.rescale(put(x), dtype=dtype), x, put(x), tolerance=0)


@pytest.mark.parametrize("dtype", ["int16", "uint16", "int32"])
def test_narrow_integers_do_not_wrap(backend, put, dtype):
    info = np.iinfo(dtype)
    x = np.array([info.min, info.max, 0], dtype)
    truth = (x.astype(np.float64) * 3 - 7).astype(np.float32)
    assert_same(fp.rescale(put(x), 3, -7), truth, put(x), tolerance=TOLERANCE)


def test_stored_values_to_hu_in_their_own_type(backend, put):
    x = np.arange(0, 4096, dtype=np.uint16)
    truth = (x.astype(np.int32) - 1024).astype(np.int16)
    assert_same(fp.rescale(put(x), 1, -1024, dtype="int16"), truth, put(x), tolerance=0)


def test_float16_overflows_to_infinity(backend, put):
    x = np.array([1.0, -1.0], np.float32)
    truth = np.array([np.inf, -np.inf], np.float16)
    assert_same(fp.rescale(put(x), 1e6, dtype="float16"), truth, put(x), tolerance=0)


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_not_finite_passes(backend, put, dtype):
    x = np.array([np.nan, np.inf, -np.inf], dtype)
    assert_same(fp.rescale(put(x), -2, 1), np.array([np.nan, -np.inf, np.inf], dtype), put(x), tolerance=0)


@pytest.mark.parametrize("shape", [(0,), (3, 0), (), (1, 1, 1, 1, 1)])
def test_any_shape(backend, put, shape):
    x = np.full(shape, 3, np.int16)
    assert_same(fp.rescale(put(x), 2, 1), np.full(shape, 7, np.float32), put(x), tolerance=0)


def test_libraries(xp):
    for dtype in ("int16", "float32", "float64"):
        x = values((3, 4), dtype)
        out = np.float64 if dtype == "float64" else np.float32
        given = xp.asarray(x)
        assert_same(fp.rescale(given, 2, 5), (x.astype(np.float64) * 2 + 5).astype(out), given, tolerance=TOLERANCE)


def test_libraries_keep_the_dtype_asked_for(xp):
    given = xp.asarray(values((3, 4), "int16"))
    for dtype in ("uint8", "int16", "float32", "float64"):
        truth = fp.rescale(values((3, 4), "int16"), 0.01, 1, dtype=dtype)
        assert_same(fp.rescale(given, 0.01, 1, dtype=dtype), truth, given, tolerance=0)


def test_errors(backend, put):
    x = put(np.zeros(3, np.float32))
    same_error(lambda: fp.rescale(x, float("inf")), ArgumentError, "finite a and b")
    same_error(lambda: fp.rescale(x, 1, float("nan")), ArgumentError, "finite a and b")
