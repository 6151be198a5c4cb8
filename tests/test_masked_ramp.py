"""The kernel ``masked_ramp`` against NumPy."""

from __future__ import annotations

import importlib

import numpy as np
import pytest

import fastprep as fp
from fastprep.ops._arrays import view_of
from fastprep.testing.assertions import assert_same, to_numpy
from layouts import DTYPES, LAYOUTS, values

SHAPE = (3, 40, 123)  # more than what one block does, and no whole number of its packs
RAMP = np.array([0.25, 7.0, -2000.0, 3000.0])


def run(backend, put, x, mask, dtype, outside, ramp=RAMP):
    kernel = importlib.import_module(f"fastprep.kernels.{backend}.masked_ramp").masked_ramp
    out = put(np.full(x.shape, 3, dtype))
    view = view_of(out)
    if backend != "gpu":
        view.setflags(write=True)
    kernel(view_of(put(x)), view_of(put(mask)), ramp, outside, view)
    return out


def truth(x, mask, dtype, outside, ramp=RAMP):
    wide = x.astype(np.float64)
    y = np.where(mask != 0, np.clip(ramp[0] * wide + ramp[1], *ramp[2:]), wide if outside is None else outside)
    if np.dtype(dtype).kind in "iu":
        info = np.iinfo(dtype)
        y = np.clip(np.rint(y), info.min, info.max)
    with np.errstate(over="ignore"):
        return (y != 0) if dtype == "bool" else y.astype(dtype)


@pytest.mark.parametrize("dtype", DTYPES)
def test_every_dtype(backend, put, dtype):
    x, mask = values(SHAPE, dtype), values(SHAPE, "bool", 1)
    made = "float64" if dtype == "float64" else "float32"
    for outside in (None, -1.5):
        expected = truth(x, mask, made, outside)
        scale = float(abs(x.astype(float)).max())
        assert_same(run(backend, put, x, mask, made, outside), expected, put(x), tolerance=1e-6, scale=scale)


@pytest.mark.parametrize("dtype", ["bool", "uint8", "int16", "int32", "float16"])
def test_every_result(backend, put, dtype):
    x, mask = values(SHAPE, "int16") // 64 * 2, values(SHAPE, "bool", 1)
    for outside in (None, 2.5):
        assert_same(run(backend, put, x, mask, dtype, outside), truth(x, mask, dtype, outside), put(x), tolerance=0)


@pytest.mark.parametrize("dtype", ["bool", "uint8", "int16", "int64"])
def test_every_mask(backend, put, dtype):
    """Bytes that are neither 0 nor 1, and wide numbers whose low byte is 0."""
    x, mask = values(SHAPE, "float32"), values(SHAPE, "bool", 1)
    marks = np.where(mask, 256 if dtype == "int64" else 2, 0).astype(dtype)
    result = run(backend, put, x, marks, "float32", 0.0)
    assert_same(result, truth(x, marks, "float32", 0.0), put(x), tolerance=1e-6)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("source", ["int16", "float16"])
def test_every_layout(backend, put, layout, source):
    if backend == "gpu" and layout in ("big-endian", "unaligned", "read-only"):
        pytest.skip("a GPU has no such arrays")
    x, mask = values(SHAPE, source), values(SHAPE, "bool", 1)
    expected = truth(x, mask, "float32", None)
    for given, marks in ((LAYOUTS[layout](x), mask), (x, LAYOUTS[layout](mask))):
        assert_same(run(backend, put, given, marks, "float32", None), expected, put(x), tolerance=1e-6)


@pytest.mark.parametrize("shape", [(1, 1, 1), (1, 1, 30_001), (1, 300, 40), (4, 1, 5), (8, 4096, 1)])
def test_every_shape(backend, put, shape):
    x, mask = values(shape, "float32"), values(shape, "bool", 1)
    assert_same(run(backend, put, x, mask, "float32", 5.0), truth(x, mask, "float32", 5.0), put(x), tolerance=1e-6)


def test_nan(backend, put):
    """Outside it is gone unless it is to be kept; inside it passes through."""
    x, mask = values(SHAPE, "float32"), values(SHAPE, "bool", 1)
    x[0, 0], x[1, :3] = np.nan, np.inf
    for outside in (None, 0.0):
        expected = truth(x, mask, "float32", outside)
        assert_same(run(backend, put, x, mask, "float32", outside), expected, put(x), tolerance=1e-6)


@pytest.mark.gpu
@pytest.mark.parametrize(("source", "dtype"), [("int16", "float32"), ("float32", "float16"), ("float64", "float64")])
def test_bits_are_those_of_the_cpu(gpu, source, dtype):
    n = 4 * 32 * 128
    x, mask = values((1, 1, n + 1), source), values((1, 1, n + 1), "bool", 1)
    kernel = importlib.import_module("fastprep.kernels.gpu.masked_ramp").masked_ramp
    # Words of 16 bytes must not start just anywhere, neither of x nor of the mask.
    for first, mark in ((0, 0), (1, 1), (0, 1), (1, 0)):
        there, marks, out = gpu(x), gpu(mask), gpu(np.full((1, 1, n), 3, dtype))
        given, inside = (
            view_of(v)[0, 0, at : at + n].with_shape((1, 1, n)) for v, at in ((there, first), (marks, mark))
        )
        kernel(given, inside, RAMP, -0.3, view_of(out))
        here = run("cpu", np.asarray, x[..., first : first + n], mask[..., mark : mark + n], dtype, -0.3)
        np.testing.assert_array_equal(to_numpy(out), here)


def test_any_number_of_threads():
    x, mask = values((9, 110, 160), "float32"), values((9, 110, 160), "bool", 1)
    try:
        found = []
        for n in (1, 2, 5):
            fp.set_num_threads(n)
            found.append(run("cpu", np.asarray, x, mask, "float32", 0.0).tobytes())
    finally:
        fp.set_num_threads(None)
    assert found[0] == found[1] == found[2]
