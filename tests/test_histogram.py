"""The kernel ``histogram``: NumPy's counts, on every backend."""

from __future__ import annotations

import importlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import fastprep as fp
from fastprep.ops._arrays import view_of
from layouts import DTYPES, LAYOUTS, one_for_all, values

SHAPE = (7, 60, 41)  # more than one block, the last not full


def run(backend, put, x, mask, *how):
    kernel = importlib.import_module(f"fastprep.kernels.{backend}.histogram").histogram
    low, high, bins = how
    marks = None if mask is None else view_of(put(mask[None]))
    counts = kernel(view_of(put(x[None])), marks, np.array([low]), np.array([high]), bins)
    assert counts.dtype == np.uint64 and counts.shape == (1, bins)
    return counts[0]


def truth(x, mask, low, high, bins):
    inside = (x if mask is None else x[mask != 0]).astype(np.float64)
    return np.histogram(inside[np.isfinite(inside)], bins, (low, high))[0]


@pytest.mark.parametrize("dtype", [*DTYPES, "uint64"])
def test_every_dtype(backend, put, dtype):
    x, mask = values(SHAPE, dtype), values(SHAPE, "bool", 1)
    low, high = float(x.min()), float(x.max())
    for how in ((low, high, 256), (low / 2 - 1, high / 3, 17)):
        np.testing.assert_array_equal(run(backend, put, x, None, *how), truth(x, None, *how))
        np.testing.assert_array_equal(run(backend, put, x, mask, *how), truth(x, mask, *how))


@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_layout(backend, put, layout):
    if backend == "gpu" and layout in ("big-endian", "unaligned", "read-only"):
        pytest.skip("a GPU has no such arrays")
    x, mask = values(SHAPE, "float32"), values(SHAPE, "bool", 1)
    how = (-700.0, 900.0, 33)
    expected = truth(x, mask, *how)
    np.testing.assert_array_equal(run(backend, put, LAYOUTS[layout](x), LAYOUTS[layout](mask), *how), expected)
    np.testing.assert_array_equal(run(backend, put, LAYOUTS[layout](x), mask, *how), expected)


@pytest.mark.parametrize("bins", [1, 2, 255, 8192, 8193, 20_000])
def test_any_number_of_bins(backend, put, bins):
    """On a GPU those that fit into shared memory, and those that do not."""
    x = values(SHAPE, "float32")
    np.testing.assert_array_equal(run(backend, put, x, None, -900.0, 900.0, bins), truth(x, None, -900, 900, bins))


def test_edges_belong_to_the_bin_above_and_the_last_to_its_own(backend, put):
    edges = np.linspace(0.1, 0.7, 8)
    x = np.concatenate([edges, np.nextafter(edges, -1), np.nextafter(edges, 1)]).reshape(1, 1, -1)
    np.testing.assert_array_equal(run(backend, put, x, None, 0.1, 0.7, 7), truth(x, None, 0.1, 0.7, 7))
    assert run(backend, put, np.full((2, 3, 4), 0.7), None, 0.1, 0.7, 7).tolist() == [0, 0, 0, 0, 0, 0, 24]


def test_nan_and_infinity_are_in_no_bin(backend, put):
    x = np.array([np.nan, np.inf, -np.inf, 1, 2, 2, 3], np.float32).reshape(1, 1, 7)
    assert run(backend, put, x, None, 1.0, 3.0, 2).tolist() == [1, 3]


@pytest.mark.parametrize(("low", "high"), [(0.0, 5e-324), (1e16, 1e16 + 4), (-1e307, 1e307)])
def test_ranges_that_leave_no_room(backend, put, low, high):
    x = np.linspace(low, high, 99).reshape(3, 3, 11)
    expected = np.histogram(x, np.linspace(low, high, 6))[0]
    np.testing.assert_array_equal(run(backend, put, x, None, low, high, 5), expected)


def test_no_voxel(backend, put):
    assert run(backend, put, np.zeros((0, 4, 5)), None, 0.0, 1.0, 3).tolist() == [0, 0, 0]
    assert run(backend, put, np.zeros((3, 4, 5)), np.zeros((3, 4, 5), bool), 0.0, 1.0, 3).tolist() == [0, 0, 0]


@pytest.mark.parametrize("dtype", ["uint8", "float32"])
def test_volumes_of_a_batch(backend, put, dtype):
    """Each with bins of its own, under a mask each and under one for all."""
    x, masks = values((3, 5, 60, 80), dtype), values((3, 5, 60, 80), "bool", 1)
    lows, highs = np.array([3.0, -50.0, 0.1]), np.array([120.0, 60.0, 99.9])
    kernel = importlib.import_module(f"fastprep.kernels.{backend}.histogram").histogram
    there, marks = view_of(put(x)), view_of(put(masks))
    for found, of in (
        (kernel(there, marks, lows, highs, 40), masks),
        (kernel(there, one_for_all(marks), lows, highs, 40), masks[[0, 0, 0]]),
    ):
        expected = [truth(v, m, a, z, 40) for v, m, a, z in zip(x, of, lows, highs, strict=True)]
        np.testing.assert_array_equal(found, expected)


@settings(max_examples=100)
@given(
    x=st.lists(st.floats(-1e6, 1e6, width=32), min_size=1, max_size=40),
    low=st.floats(-1e6, 1e6),
    width=st.floats(1e-3, 1e6),
    bins=st.integers(1, 300),
)
def test_numpy(x, low, width, bins):
    x = np.array(x, np.float32).reshape(1, 1, -1)
    how = (low, low + width, bins)
    np.testing.assert_array_equal(run("cpu", np.asarray, x, None, *how), truth(x, None, *how))


def test_any_number_of_threads():
    x = values((9, 160, 160), "int16")
    try:
        found = []
        for n in (1, 2, 5):
            fp.set_num_threads(n)
            found.append(run("cpu", np.asarray, x, None, -2000.0, 2000.0, 100).tolist())
    finally:
        fp.set_num_threads(None)
    assert found[0] == found[1] == found[2]
