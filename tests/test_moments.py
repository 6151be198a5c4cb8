"""The kernel ``moments``: against NumPy and exact fractions, on every backend."""

from __future__ import annotations

import importlib
from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest

import fastprep as fp
from fastprep.core.moments import Moments
from fastprep.ops._arrays import view_of
from layouts import DTYPES, LAYOUTS, one_for_all, values

SHAPE = (7, 30, 41)  # more than one chunk, the last not full


def run(backend, put, x, mask=None, between=None):
    kernel = importlib.import_module(f"fastprep.kernels.{backend}.moments").moments
    return kernel(view_of(put(x[None])), None if mask is None else view_of(put(mask[None])), between)[0]


def truth(x, mask=None):
    inside = (x if mask is None else x[mask != 0]).astype(np.float64).ravel()
    v = inside[np.isfinite(inside)]
    m2 = np.square(v.astype(np.longdouble) - v.astype(np.longdouble).mean()).sum()
    return Moments(v.size, float(v.astype(np.longdouble).mean()), float(m2), v.min(), v.max(), inside.size - v.size)


def check(found, expected):
    assert (found.count, found.low, found.high, found.nonfinite) == (
        expected.count,
        expected.low,
        expected.high,
        expected.nonfinite,
    )
    assert found.mean == pytest.approx(expected.mean, rel=1e-13, abs=1e-13 * expected.std)
    assert found.m2 == pytest.approx(expected.m2, rel=1e-11)
    assert type(found.count) is int and type(found.mean) is float and type(found.m2) is float


@pytest.mark.parametrize("dtype", [*DTYPES, "uint64"])
def test_every_dtype(backend, put, dtype):
    x, mask = values(SHAPE, dtype), values(SHAPE, "bool", 1)
    check(run(backend, put, x), truth(x))
    check(run(backend, put, x, mask), truth(x, mask))


@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_layout(backend, put, layout):
    if backend == "gpu" and layout in ("big-endian", "unaligned", "read-only"):
        pytest.skip("a GPU has no such arrays")
    x, mask = values(SHAPE, "int16"), values(SHAPE, "bool", 1)
    expected = truth(x, mask)
    check(run(backend, put, LAYOUTS[layout](x), mask), expected)
    check(run(backend, put, x, LAYOUTS[layout](mask)), expected)


@pytest.mark.parametrize("dtype", DTYPES)
def test_every_mask(backend, put, dtype):
    kind = np.dtype(dtype).kind
    inside = 1 if kind in "bu" else -1 if kind == "i" else np.finfo(dtype).smallest_normal
    mask = values(SHAPE, "bool", 1) * np.array(inside, dtype)
    if kind == "f":
        mask[mask == 0] = -0.0
        mask[0, 0, :3] = np.nan
    x = values(SHAPE, "float32")
    check(run(backend, put, x, mask), truth(x, mask))


@pytest.mark.parametrize("shape", [(1, 1, 1), (1, 1, 4096), (1, 1, 4097), (4099, 1, 1), (3, 2, 1), (2, 64, 64)])
def test_every_shape(backend, put, shape):
    x = values(shape, "float32")
    check(run(backend, put, x), truth(x))


@pytest.mark.parametrize("shape", [(0, 4, 5), (3, 0, 5), (3, 4, 0)])
def test_no_voxel(backend, put, shape):
    found = run(backend, put, np.zeros(shape, np.int16))
    assert (found.count, found.nonfinite) == (0, 0) and np.isnan(found.mean)


def test_nothing_inside(backend, put):
    found = run(backend, put, np.full((3, 4, 5), np.nan, np.float32), np.zeros((3, 4, 5), bool))
    assert (found.count, found.nonfinite) == (0, 0)


def test_what_is_not_finite_is_counted_where_the_mask_is(backend, put):
    x, mask = values(SHAPE, "float32"), values(SHAPE, "bool", 1)
    x[:, ::7, ::5], x[1, 2], x[2, 3, 4] = np.nan, np.inf, -np.inf
    check(run(backend, put, x, mask), truth(x, mask))
    check(run(backend, put, x), truth(x))
    found = run(backend, put, np.full((2, 50, 60), np.nan, np.float32))
    assert (found.count, found.nonfinite) == (0, 6000)


@pytest.mark.parametrize("mean", [1e4, -1e6, 1e7])
def test_a_large_mean_costs_no_digits(backend, put, mean):
    x = (values(SHAPE, "float64") / 500 + mean).astype(np.float32)
    found = run(backend, put, x)
    assert found.std == pytest.approx(float(x.astype(np.longdouble).std()), rel=1e-12)


def test_the_mean_of_integers_is_exact(backend, put):
    x = values(SHAPE, "int16")
    assert run(backend, put, x).mean == int(x.sum(dtype=np.int64)) / x.size


@pytest.mark.parametrize("dtype", ["bool", "uint8", "int16", "uint16"])
def test_integers_are_exact(backend, put, dtype):
    if backend == "reference":
        pytest.skip("the plain one sums floats")
    x, mask = values(SHAPE, dtype), values(SHAPE, "bool", 1)
    v = [Fraction(int(i)) for i in x[mask]]
    found, mean = run(backend, put, x, mask), sum(v) / len(v)
    assert found.mean == float(mean)
    assert found.m2 == float(sum(i * i for i in v) - mean * mean * len(v))


@pytest.mark.parametrize("dtype", ["uint8", "int16", "int32", "int64", "float16", "float32", "float64"])
@pytest.mark.parametrize("between", [(-20.5, 40.0), (3.0, 4.0), (3.0, 3.0), (100.0, -100.0), (-1e30, 1e30)])
def test_between_two_values(backend, put, dtype, between):
    x, mask = values((3, 20, 21), dtype) % 100, values((3, 20, 21), "bool", 1)
    if np.dtype(dtype).kind == "f":
        x[0, :2], x[1, 3, :5], x[2, 3, 4] = np.nan, np.inf, 40.0
    whole = truth(x, mask)
    inside = (mask & (x.astype(np.float64) > between[0]) & (x.astype(np.float64) < between[1])).astype(np.uint8)
    found = run(backend, put, x, mask, between)
    assert found.nonfinite == whole.nonfinite
    if inside.any():
        check(found, replace(truth(x, inside), nonfinite=whole.nonfinite))
    else:
        assert found.count == 0 and np.isnan(found.low)


@pytest.mark.parametrize("dtype", ["int16", "float32"])
def test_volumes_of_a_batch(backend, put, dtype):
    """Of more chunks than one, under a mask each and under one for all."""
    x, masks = values((3, 5, 60, 80), dtype), values((3, 5, 60, 80), "bool", 1)
    kernel = importlib.import_module(f"fastprep.kernels.{backend}.moments").moments
    there, marks = view_of(put(x)), view_of(put(masks))
    for found, v, m in zip(kernel(there, marks, None), x, masks, strict=True):
        check(found, truth(v, m))
    for found, v in zip(kernel(there, one_for_all(marks), None), x, strict=True):
        check(found, truth(v, masks[0]))
    for found, v in zip(kernel(there[:, 1:], None, None), x[:, 1:], strict=True):
        check(found, truth(v))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_one_voxel_far_from_the_others(backend, put, dtype):
    x = np.full((2, 50, 60), 7.25, dtype)
    x[:, 1::2] += np.array(0.5, dtype)
    x[0, 0, 0] = 1e6
    check(run(backend, put, x), truth(x))
    mask = np.ones(x.shape, bool)
    mask[0, 0, 0] = False
    check(run(backend, put, x, mask), truth(x, mask))


@pytest.mark.gpu
@pytest.mark.parametrize("dtype", ["int16", "float32", "float64"])
def test_the_gpu_is_as_the_cpu(gpu, dtype):
    x, mask = values(SHAPE, dtype), values(SHAPE, "bool", 1)
    for marks in (None, mask):
        there, here = run("gpu", gpu, x, marks), run("cpu", np.asarray, x, marks)
        assert there == replace(here, mean=there.mean, m2=there.m2)
        assert there.mean == pytest.approx(here.mean, rel=1e-12) and there.m2 == pytest.approx(here.m2, rel=1e-12)


def test_any_number_of_threads():
    x, mask = values((9, 160, 160), "float32"), values((9, 160, 160), "bool", 1)
    try:
        found = []
        for n in (1, 2, 5):
            fp.set_num_threads(n)
            found.append(run("cpu", np.asarray, x, mask))
    finally:
        fp.set_num_threads(None)
    assert found[0] == found[1] == found[2]
