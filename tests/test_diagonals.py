"""The kernel ``diagonals``: against PyWavelets, on every backend."""

from __future__ import annotations

import importlib

import numpy as np
import pytest

from fastprep.core.noise import details
from fastprep.ops._arrays import view_of
from fastprep.testing.assertions import to_numpy
from layouts import values


def run(backend, put, x):
    kernel = importlib.import_module(f"fastprep.kernels.{backend}.diagonals").diagonals
    out = put(np.full((len(x), *map(details, x.shape[1:])), -1, np.float32))
    kernel(view_of(put(x)), view_of(out))
    return to_numpy(out)


def truth(x):
    """Of one volume, along its axes of at least 4 voxels: what PyWavelets finds inside the border."""
    pywt = pytest.importorskip("pywt")
    axes = [a for a, n in enumerate(x.shape) if n >= 4]
    detail = np.abs(pywt.dwtn(x.astype(np.float64), "db2", axes=axes)["d" * len(axes)])
    inner = tuple(slice(1, 1 + details(n)) if a in axes else slice(None) for a, n in enumerate(x.shape))
    return detail[inner]


@pytest.mark.parametrize("shape", [(8, 9, 10), (1, 21, 14), (3, 6, 7), (4, 4, 1), (5, 2, 3), (11, 1, 4)])
@pytest.mark.parametrize("dtype", ["int16", "float32"])
def test_pywavelets(backend, put, shape, dtype):
    x = values((2, *shape), dtype)
    for found, volume in zip(run(backend, put, x), x, strict=True):
        np.testing.assert_allclose(found, truth(volume), atol=1e-6 * np.ptp(x.astype(np.float64)))


def test_what_is_constant_along_an_axis_is_exactly_0(backend, put):
    x = np.random.default_rng(0).normal(1e3, 1, (1, 8, 8, 8)).astype(np.float32)
    for axis in (1, 2, 3):
        flat = np.repeat(x.take([0], axis), 8, axis)
        assert not run(backend, put, flat).any()
    assert (run(backend, put, x) > 0).all()


@pytest.mark.parametrize("dtype", ["float64", "int32"])
def test_a_large_mean_costs_no_digits(backend, put, dtype):
    for shape in ((1, 6, 8, 9), (1, 1, 8, 9)):
        x = np.random.default_rng(1).integers(0, 100, shape)
        np.testing.assert_allclose(run(backend, put, (x + 10**8).astype(dtype))[0], truth(x[0]), rtol=1e-4, atol=1e-3)
