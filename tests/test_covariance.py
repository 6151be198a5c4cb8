"""The kernel ``covariance``: against NumPy, and the same bits on every backend but the plain one."""

from __future__ import annotations

import importlib

import numpy as np
import pytest

import fastprep as fp
from fastprep.ops._arrays import view_of
from layouts import LAYOUTS, values

SHAPE = (3, 7, 30, 41)  # more than one row of sums, the last not full


def run(backend, put, x, mask=None):
    kernel = importlib.import_module(f"fastprep.kernels.{backend}.covariance").covariance
    return kernel(view_of(put(x)), None if mask is None else view_of(put(mask)))


def check(found, x, mask=None):
    inside = (x.reshape(len(x), -1) if mask is None else x[:, mask != 0]).astype(np.float64)
    finite = np.isfinite(inside)
    v = inside[:, finite.all(axis=0)].astype(np.longdouble)
    means, cov = v.mean(axis=1), np.cov(v, ddof=0).reshape(len(x), len(x))
    scale = np.sqrt(np.outer(np.diag(cov), np.diag(cov))).astype(float)
    assert found.count == v.shape[1] and type(found.count) is int
    assert found.nonfinite.tolist() == (~finite).sum(axis=1).tolist()
    assert found.cov.shape == (len(x), len(x)) and found.cov.dtype == found.means.dtype == np.float64
    assert (np.abs(found.means - means) <= 1e-12 * np.sqrt(np.diag(cov)) + 1e-15 * abs(means)).all()
    assert (np.abs(found.cov - cov) <= 1e-11 * scale).all()
    np.testing.assert_array_equal(found.cov, found.cov.T)


@pytest.mark.parametrize("dtype", ["bool", "int16", "uint32", "float16", "float32", "float64"])
def test_every_dtype(backend, put, dtype):
    x, mask = values(SHAPE, dtype), values(SHAPE[1:], "bool", 1)
    check(run(backend, put, x), x)
    check(run(backend, put, x, mask), x, mask)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_layout(backend, put, layout):
    if backend == "gpu" and layout in ("big-endian", "unaligned", "read-only"):
        pytest.skip("a GPU has no such arrays")
    x, mask = values(SHAPE, "int16"), values(SHAPE[1:], "bool", 1)
    check(run(backend, put, LAYOUTS[layout](x), mask), x, mask)
    check(run(backend, put, x, LAYOUTS[layout](mask.astype(np.int16))), x, mask)


@pytest.mark.parametrize(
    "shape", [(2, 1, 1, 2048), (2, 1, 1, 2049), (2, 4099, 1, 1), (16, 3, 2, 5), (1, 6, 7, 8), (2, 5, 64, 64)]
)
def test_every_shape(backend, put, shape):
    x = values(shape, "float32")
    check(run(backend, put, x), x)


def test_channels_that_go_together(backend, put):
    """Shared signal and what each has of its own: correlations of every sign."""
    x = values(SHAPE, "float64")
    x[1] = 0.3 * x[1] - 2 * x[0]
    x[2] = x[0] + 1e-3 * x[2]
    check(run(backend, put, x), x)


def test_what_is_not_finite_counts_in_no_channel(backend, put):
    x, mask = values(SHAPE, "float32"), values(SHAPE[1:], "bool", 1)
    x[0, :, ::7, ::5], x[1, 1, 2], x[1, 2, 3, 4] = np.nan, np.inf, -np.inf
    check(run(backend, put, x), x)
    check(run(backend, put, x, mask), x, mask)
    found = run(backend, put, np.full((2, 3, 4, 5), np.nan, np.float32))
    assert found.count == 0 and found.nonfinite.tolist() == [60, 60] and np.isnan(found.cov).all()


def test_nothing_inside(backend, put):
    found = run(backend, put, values(SHAPE, "float32"), np.zeros(SHAPE[1:], bool))
    assert found.count == 0 and np.isnan(found.means).all() and found.nonfinite.tolist() == [0, 0, 0]


@pytest.mark.parametrize("mean", [1e4, -1e7])
def test_a_large_mean_costs_no_digits(backend, put, mean):
    x = (values(SHAPE, "float64") / 500 + mean).astype(np.float32)
    check(run(backend, put, x), x)


def test_a_constant_channel_is_exactly_so(backend, put):
    x = values(SHAPE, "float64")
    x[1] = 0.1
    found = run(backend, put, x)
    assert not found.cov[1].any() and not found.cov[:, 1].any() and found.cov[0, 2] != 0
    # One unit in the last place of a float32 is no rounding.
    x[1, ::2] = np.nextafter(np.float32(0.1), np.float32(1))
    assert run(backend, put, x.astype(np.float32)).cov[1, 1] > 0


@pytest.mark.gpu
@pytest.mark.parametrize("dtype", ["int16", "float32", "float64"])
def test_bits_are_those_of_the_cpu(gpu, dtype):
    x, mask = values((3, 9, 50, 41), dtype), values((9, 50, 41), "bool", 1)
    for marks in (None, mask):
        here, there = run("gpu", gpu, x, marks), run("cpu", np.asarray, x, marks)
        assert here.count == there.count
        np.testing.assert_array_equal(here.means, there.means)
        np.testing.assert_array_equal(here.cov, there.cov)


def test_any_number_of_threads():
    x, mask = values((2, 9, 110, 160), "float32"), values((9, 110, 160), "bool", 1)
    try:
        found = []
        for n in (1, 2, 5):
            fp.set_num_threads(n)
            found.append(run("cpu", np.asarray, x, mask).cov.tobytes())
    finally:
        fp.set_num_threads(None)
    assert found[0] == found[1] == found[2]
