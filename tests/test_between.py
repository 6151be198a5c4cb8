"""The kernel ``between`` against NumPy."""

from __future__ import annotations

import importlib

import numpy as np
import pytest

from fastprep.ops._arrays import view_of
from fastprep.testing.assertions import to_numpy
from layouts import DTYPES, LAYOUTS, values

SHAPE = (3, 5, 11, 13)


def run(backend, put, x, mask, low, high):
    out = put(np.full(x.shape, True))
    kernel = importlib.import_module(f"fastprep.kernels.{backend}.between").between
    kernel(view_of(put(x)), None if mask is None else view_of(put(mask)), low, high, view_of(out))
    return to_numpy(out)


@pytest.mark.parametrize("dtype", DTYPES)
def test_every_dtype(backend, put, dtype):
    """The bounds are values, and are not between themselves; a mask of that type too."""
    x, mask = values(SHAPE, dtype), values(SHAPE, dtype, 1) * values(SHAPE, "bool", 2)
    if dtype.startswith("float"):
        x[0, 0, 0, :3] = np.nan, np.inf, -np.inf
    wide = x.astype(np.float64)
    low, high = np.percentile(wide[np.isfinite(wide)], (20, 70), method="nearest")
    truth = (wide > low) & (wide < high)
    np.testing.assert_array_equal(run(backend, put, x, None, low, high), truth)
    np.testing.assert_array_equal(run(backend, put, x, mask, low, high), truth & (mask != 0))


@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_layout(backend, put, layout):
    if backend == "gpu" and layout in ("big-endian", "unaligned", "read-only"):
        pytest.skip("a GPU has no such arrays")
    x, mask = values(SHAPE, "int16"), values(SHAPE, "uint8", 1) > 99
    truth = (x > -9000) & (x < 12345) & mask
    for given, marks in ((LAYOUTS[layout](x), mask), (x, LAYOUTS[layout](mask))):
        np.testing.assert_array_equal(run(backend, put, given, marks, -9000.0, 12345.0), truth)


def test_a_mask_for_all_volumes(backend, put):
    x, mask = values(SHAPE, "float32"), values(SHAPE[1:], "bool", 1)
    marks = np.lib.stride_tricks.as_strided(mask, SHAPE, (0, *mask.strides))
    truth = (x > -100) & (x < 300) & mask
    np.testing.assert_array_equal(run(backend, put, x, marks, -100.0, 300.0), truth)
