"""The kernel ``combine``: NumPy's weighted sum, on every backend."""

from __future__ import annotations

import importlib

import numpy as np
import pytest

import fastprep as fp
from fastprep.ops._arrays import view_of
from fastprep.testing.assertions import assert_same
from layouts import LAYOUTS, values

SHAPE = (3, 5, 30, 61)  # more than what one block does
WEIGHTS, OFFSET = np.array([0.25, -0.5, 1.5]), 7.25


def run(backend, put, x, dtype, weights=WEIGHTS, offset=OFFSET):
    kernel = importlib.import_module(f"fastprep.kernels.{backend}.combine").combine
    out = put(np.full(x.shape[1:], 3, dtype))
    view = view_of(out)
    if backend != "gpu":
        view.setflags(write=True)
    kernel(view_of(put(x)), view, weights, offset)
    return out


def truth(x, dtype, weights=WEIGHTS, offset=OFFSET):
    y = np.einsum("k,k...->...", weights, x.astype(np.float64)) + offset
    if np.dtype(dtype).kind in "iu":
        info = np.iinfo(dtype)
        y = np.clip(np.rint(y), info.min, info.max)
    return (y != 0).astype(bool) if dtype == "bool" else y.astype(dtype)


@pytest.mark.parametrize(
    ("source", "dtype"),
    [
        *[(s, "float32") for s in ("bool", "int8", "uint16", "int16", "int64", "float16", "float32")],
        *[("int16", "float64"), ("float64", "float64")],
    ],
)
def test_every_dtype(backend, put, source, dtype):
    x = values(SHAPE, source)
    # Sums of numbers of both signs are as exact as the largest of them.
    scale = float(abs(x.astype(float)).max()) * 3
    assert_same(run(backend, put, x, dtype), truth(x, dtype), put(x), tolerance=1e-6, scale=scale)


@pytest.mark.parametrize("dtype", ["bool", "uint8", "int16", "int32", "float16"])
def test_every_result(backend, put, dtype):
    x = values(SHAPE, "int16") // 64
    weights = np.array([0.25, -0.5, 1.0])  # exact in float32
    assert_same(run(backend, put, x, dtype, weights), truth(x, dtype, weights), put(x), tolerance=0)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("source", ["int16", "float16", "float32"])
def test_every_layout(backend, put, layout, source):
    if backend == "gpu" and layout in ("big-endian", "unaligned", "read-only"):
        pytest.skip("a GPU has no such arrays")
    x = values(SHAPE, source)
    expected = truth(x, "float32")
    assert_same(run(backend, put, LAYOUTS[layout](x), "float32"), expected, put(x), tolerance=1e-6)


@pytest.mark.parametrize("shape", [(1, 1, 1, 1), (2, 1, 1, 30_001), (16, 1, 8, 1024), (2, 300, 1, 40), (2, 0, 4, 5)])
def test_every_shape(backend, put, shape):
    x, weights = values(shape, "float32"), np.linspace(-1, 1, shape[0])
    assert_same(run(backend, put, x, "float32", weights), truth(x, "float32", weights), put(x), tolerance=1e-6)


def test_a_part_of_many_channels(backend, put):
    """Channels further apart than they are long."""
    x = put(values((6, 5, 30, 61), "int16"))
    kernel = importlib.import_module(f"fastprep.kernels.{backend}.combine").combine
    out = put(np.zeros(SHAPE[1:], np.float32))
    kernel(view_of(x)[1:6:2], view_of(out), WEIGHTS, OFFSET)
    assert_same(out, truth(values((6, 5, 30, 61), "int16")[1::2], "float32"), out, tolerance=1e-6)


def test_nan_is_passed_on(backend, put):
    x = values(SHAPE, "float32")
    x[1, 0, 0, :3], x[0, 2] = np.nan, np.inf
    assert_same(run(backend, put, x, "float32"), truth(x, "float32"), put(x), tolerance=1e-6)


@pytest.mark.gpu
@pytest.mark.parametrize(("source", "dtype"), [("int16", "float32"), ("float32", "float16"), ("float64", "float64")])
def test_bits_are_those_of_the_cpu(gpu, source, dtype):
    x = values((3, 1, 9, 1500), source)
    np.testing.assert_array_equal(run("gpu", gpu, x, dtype).get(), run("cpu", np.asarray, x, dtype))


def test_any_number_of_threads():
    x = values((3, 9, 110, 160), "float32")
    try:
        found = []
        for n in (1, 2, 5):
            fp.set_num_threads(n)
            found.append(run("cpu", np.asarray, x, "float32").tobytes())
    finally:
        fp.set_num_threads(None)
    assert found[0] == found[1] == found[2]
