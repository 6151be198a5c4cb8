from __future__ import annotations

import numpy as np
import pytest

import fastprep as fp
from fastprep.core.errors import ArgumentError
from fastprep.testing.assertions import assert_same
from layouts import DTYPES, check_layouts, same_error, tolerance, values

TOLERANCE = tolerance("invert")


@pytest.mark.parametrize("dtype", DTYPES)
def test_every_dtype_and_layout(backend, put, dtype):
    x = values((3, 4, 5), dtype)
    out = dtype if dtype.startswith("float") else "float32"
    truth = (4095 - x.astype(np.float64)).astype(out)
    check_layouts(lambda a: fp.invert(a, (0, 4095)), truth, x, put, backend, tolerance=TOLERANCE)


@pytest.mark.parametrize(("dtype", "ends"), [("uint8", (0, 255)), ("uint16", (0, 65535)), ("int16", (-1024, 3071))])
def test_is_its_own_inverse(backend, put, dtype, ends):
    x = np.arange(ends[0], ends[1] + 1).astype(dtype)
    once = fp.invert(put(x), ends, dtype=dtype)
    assert_same(once, x[::-1].copy(), put(x), tolerance=0)
    assert_same(fp.invert(once, ends, dtype=dtype), x, put(x), tolerance=0)


def test_not_finite(backend, put):
    x = np.array([np.nan, np.inf], np.float32)
    assert_same(fp.invert(put(x), (0, 1)), np.array([np.nan, -np.inf], np.float32), put(x), tolerance=0)


def test_libraries(xp):
    x = values((3, 4), "uint8")
    given = xp.asarray(x)
    assert_same(fp.invert(given, (0, 255), dtype="uint8"), 255 - x, given, tolerance=0)


def test_errors(backend, put):
    x = put(np.zeros(3, np.float32))
    same_error(lambda: fp.invert(x, (1, 0)), ArgumentError, "value_range")
    same_error(lambda: fp.invert(x, (0, float("inf"))), ArgumentError, "finite")
