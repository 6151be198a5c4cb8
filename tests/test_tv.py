"""The kernel ``tv``: against scikit-image, on every backend."""

from __future__ import annotations

import importlib

import numpy as np
import pytest

import fastprep as fp
import oracles
from fastprep.ops._arrays import view_of
from fastprep.testing.assertions import to_numpy
from layouts import LAYOUTS


def noisy(shape, dtype="float32", seed=0):
    """A bright box in noise."""
    x = np.random.default_rng(seed).standard_normal(shape) * 20
    x[tuple(slice(n // 4, 3 * n // 4) if n > 1 else slice(None) for n in shape)] += 200
    return x.astype(dtype)


def run(backend, put, x, weight, eps=2e-4, iterations=200, dtype=None):
    kernel = importlib.import_module(f"fastprep.kernels.{backend}.tv").tv
    out = put(np.full(x.shape, 3, dtype or (x.dtype if x.dtype.kind == "f" else "float32")))
    kernel(view_of(put(x)), view_of(out), weight, eps, iterations)
    return to_numpy(out)


def truth(x, weight, eps=2e-4, iterations=200):
    """Volume by volume, in float64."""
    denoise = oracles.peer("skimage.restoration").denoise_tv_chambolle
    how = {"weight": weight, "eps": eps, "max_num_iter": iterations}
    return np.stack([denoise(v.squeeze().astype(np.float64), **how).reshape(v.shape) for v in x])


def check(found, expected, x, tolerance=1e-6):
    np.testing.assert_allclose(found, expected, rtol=0, atol=tolerance * float(np.ptp(x)))


@pytest.mark.parametrize("shape", [(6, 13, 37), (1, 30, 41), (7, 1, 20), (9, 8, 1), (1, 1, 50), (1, 19, 1), (2, 2, 2)])
def test_every_shape(backend, put, shape):
    """Axes of one voxel do not count."""
    x = noisy((1, *shape))
    expected = truth(x, 15.0, iterations=30)
    assert np.abs(expected - x).max() > 10
    check(run(backend, put, x, 15.0, iterations=30), expected, x)


@pytest.mark.parametrize(("eps", "iterations"), [(2e-4, 1), (2e-4, 2), (0.0, 7), (0.1, 200), (2e-3, 200)])
@pytest.mark.parametrize("weight", [0.5, 60.0])
def test_where_it_stops(backend, put, weight, eps, iterations):
    x = noisy((1, 5, 16, 19))
    expected = truth(x, weight, eps, iterations)
    check(run(backend, put, x, weight, eps, iterations), expected, x)
    if (eps, iterations) == (2e-3, 200):
        assert not np.array_equal(expected, truth(x, weight, 0.0, 200)), "it was to end early"


def test_volumes_of_a_batch_end_each_by_itself(backend, put):
    x = np.concatenate([noisy((1, 4, 7, 9)), noisy((1, 4, 7, 9), seed=1) * 3, np.full((1, 4, 7, 9), 7, "f4")])
    expected = truth(x, 15.0, 2e-3)
    assert (expected[:2] != truth(x, 15.0, 0.0)[:2]).any(axis=(1, 2, 3)).all(), "both were to end early"
    check(run(backend, put, x, 15.0, 2e-3), expected, x)


@pytest.mark.parametrize(("source", "dtype"), [("int16", "float32"), ("float64", "float64"), ("float16", "float16")])
def test_types(backend, put, source, dtype):
    x = noisy((1, 4, 9, 20), source)
    tolerance = {"float16": 2e-3, "float32": 1e-6, "float64": 1e-13}[dtype]
    check(run(backend, put, x, 15.0, dtype=dtype), truth(x, 15.0), x, tolerance)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_layouts(backend, put, layout):
    if backend == "gpu" and layout in ("big-endian", "unaligned", "read-only"):
        pytest.skip("a GPU has no such arrays")
    x = noisy((2, 3, 5, 20), "int16")
    before = LAYOUTS[layout](x)
    np.testing.assert_array_equal(
        run(backend, put, before, 15.0, iterations=3), run(backend, put, x, 15.0, iterations=3)
    )
    np.testing.assert_array_equal(before, x)


@pytest.mark.parametrize("shape", [(1, 1, 1, 1), (2, 1, 1, 1)])
def test_one_voxel(backend, put, shape):
    x = noisy(shape)
    np.testing.assert_array_equal(run(backend, put, x, 15.0), x)


@pytest.mark.parametrize("shape", [(1, 9, 80, 160), (1, 1, 400, 333), (6, 3, 8, 9)])
def test_any_number_of_threads(shape):
    x = noisy(shape)
    try:
        found = []
        for n in (1, 2, 5):
            fp.set_num_threads(n)
            found.append(run("cpu", np.asarray, x, 15.0, iterations=20))
    finally:
        fp.set_num_threads(None)
    np.testing.assert_array_equal(found[0], found[1])
    np.testing.assert_array_equal(found[0], found[2])
