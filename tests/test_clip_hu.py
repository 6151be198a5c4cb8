from __future__ import annotations

import numpy as np
import pytest

import fastprep as fp
from fastprep.core.errors import ArgumentError
from fastprep.testing.assertions import assert_same, to_numpy
from layouts import DTYPES, check_layouts, same_error, values


@pytest.mark.parametrize("dtype", DTYPES)
def test_every_dtype_and_layout(backend, put, dtype):
    x = values((3, 4, 5), dtype)
    out = dtype if dtype.startswith("float") else "float32"
    truth = np.clip(x.astype(np.float64), -200, 300).astype(out)
    # Clipping computes nothing: every value is an input or a bound.
    check_layouts(lambda a: fp.clip_hu(a, -200, 300), truth, x, put, backend, tolerance=0)


@pytest.mark.parametrize(
    ("preset", "ends"),
    [("full", (-1000, 1000)), ("soft_tissue", (-200, 400)), ("bone", (-200, 3000)), ("lung", (-1500, 600))],
)
def test_presets(backend, put, preset, ends):
    x = np.arange(-3024, 4000, 17, dtype=np.int16)
    truth = np.clip(x, *ends).astype(np.float32)
    assert_same(fp.clip_hu(put(x), preset=preset), truth, put(x), tolerance=0)


def test_default_is_the_full_range(backend, put):
    x = np.array([-3024, 0, 4000], np.int16)
    assert_same(fp.clip_hu(put(x)), np.array([-1000, 0, 1000], np.float32), put(x), tolerance=0)


@pytest.mark.parametrize("dtype", ["int16", "int8", "uint8", "uint16", "int32", "int64", "float64", "float16"])
def test_out_dtypes_saturate(backend, put, dtype):
    x = np.array([-3024, -1, 0, 255, 4000], np.int16)
    clipped = np.clip(x, -1000, 3000)
    info = np.iinfo(dtype) if np.dtype(dtype).kind in "iu" else np.finfo(dtype)
    truth = np.clip(clipped.astype(np.float64), float(info.min), float(info.max)).astype(dtype)
    assert_same(fp.clip_hu(put(x), -1000, 3000, dtype=dtype), truth, put(x), tolerance=0)


def test_not_finite(backend, put):
    x = np.array([np.nan, np.inf, -np.inf], np.float32)
    assert_same(fp.clip_hu(put(x)), np.array([np.nan, 1000, -1000], np.float32), put(x), tolerance=0)


def test_twice_is_once(backend, put):
    x = put(values((4, 5), "float32"))
    once = fp.clip_hu(x, -100, 100)
    assert to_numpy(fp.clip_hu(once, -100, 100)).tobytes() == to_numpy(once).tobytes()


def test_libraries(xp):
    x = values((3, 4), "int16")
    given = xp.asarray(x)
    assert_same(fp.clip_hu(given, -200, 300), np.clip(x, -200, 300).astype(np.float32), given, tolerance=0)


def test_errors(backend, put):
    x = put(np.zeros(3, np.float32))
    same_error(lambda: fp.clip_hu(x, 5, 5), ArgumentError, "lo, hi")
    same_error(lambda: fp.clip_hu(x, 5, float("nan")), ArgumentError, "lo, hi")
    same_error(lambda: fp.clip_hu(x, -float("inf"), 5), ArgumentError, "finite")
    same_error(lambda: fp.clip_hu(x, preset="liver"), ArgumentError, "full, soft_tissue")
