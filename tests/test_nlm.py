"""The kernel ``nlm``: against loops over voxels in float64, on every backend."""

from __future__ import annotations

import importlib

import numpy as np
import pytest
from numpy.lib.stride_tricks import sliding_window_view

import fastprep as fp
from fastprep.ops._arrays import view_of
from fastprep.testing.assertions import assert_same, to_numpy
from layouts import tolerance

TOL = tolerance("denoise_nlm")


def run(backend, put, x, radius, reach, sigmas, h=1.0, *, rician=False, compatible=False, dtype=None):
    kernel = importlib.import_module(f"fastprep.kernels.{backend}.nlm").nlm
    kind = x.dtype.name if x.dtype.kind == "f" else "float32"
    out = put(np.full(x.shape, 7, dtype or kind))
    kernel(view_of(put(x)), view_of(out), radius, reach, np.array(sigmas, np.float64), h, rician, compatible)
    return to_numpy(out)


def truth(x, radius, reach, sigma, h=1.0, rician=False):
    """Voxel by voxel, each patch of its neighbourhood against its own."""
    wide = x.astype(np.float64)
    around = np.pad(wide, [(r + s, r + s) for r, s in zip(radius, reach, strict=True)], mode="reflect")
    patches = sliding_window_view(around, [2 * r + 1 for r in radius])
    values = patches[(..., *radius)] ** (2 if rician else 1)
    out = np.empty(x.shape)
    for p in np.ndindex(x.shape):
        there = tuple(slice(i, i + 2 * s + 1) for i, s in zip(p, reach, strict=True))
        own = patches[tuple(i + s for i, s in zip(p, reach, strict=True))]
        d2 = ((patches[there] - own) ** 2).mean(axis=(3, 4, 5))
        w = np.exp(-np.maximum(d2 - 2 * sigma**2, 0) / (h * sigma) ** 2) if sigma else (d2 == 0) * 1.0
        out[p] = (w * values[there]).sum() / w.sum()
    return np.sqrt(np.maximum(out - 2 * sigma**2, 0)) if rician else out


def scene(shape, dtype="float32", seed=0):
    """Two tissues, noise of 5 and what the type makes of it."""
    rng = np.random.default_rng(seed)
    x = np.where(np.arange(shape[-1]) < shape[-1] // 2, 60.0, 100.0) + rng.normal(0, 5, shape)
    return np.round(x, 3).astype(dtype)


CASES = {
    "cube": ((7, 9, 12), (1, 1, 1), (2, 2, 2), 1.0, False),
    "thick slices": ((4, 9, 13), (0, 2, 2), (1, 2, 3), 0.7, False),
    "every axis its own": ((6, 5, 20), (2, 1, 3), (0, 3, 2), 1.3, False),
    "plane": ((1, 12, 37), (0, 3, 3), (0, 4, 5), 1.0, False),
    "magnitude": ((5, 6, 11), (1, 1, 1), (2, 1, 2), 1.0, True),
    "larger than the image": ((3, 2, 5), (2, 2, 2), (3, 3, 5), 1.0, False),
}


@pytest.mark.parametrize("case", CASES)
def test_loops_over_voxels(backend, put, case):
    shape, radius, reach, h, rician = CASES[case]
    x = np.stack([scene(shape), scene(shape, seed=1)])
    result = run(backend, put, x, radius, reach, [5.0, 4.0], h, rician=rician)
    expected = np.stack([truth(v, radius, reach, s, h, rician) for v, s in zip(x, (5.0, 4.0), strict=True)])
    assert_same(result, expected.astype(np.float32), x, tolerance=TOL)
    assert np.abs(expected - x).max() > 2


@pytest.mark.parametrize(
    ("source", "dtype"), [("uint8", "float32"), ("int16", "float32"), ("float16", "float16"), ("float64", "float64")]
)
def test_types(backend, put, source, dtype):
    x = scene((1, 4, 9, 10), source)
    expected = truth(x[0], (1, 1, 1), (1, 2, 2), 5.0)[None].astype(dtype)
    assert_same(run(backend, put, x, (1, 1, 1), (1, 2, 2), [5.0], dtype=dtype), expected, expected, tolerance=TOL)


def test_many_blocks(backend, put):
    """More planes, rows and columns than are done at a time."""
    for shape, reach in (((18, 20, 9), (1, 1, 1)), ((1, 66, 515), (0, 1, 1))):
        x = scene((1, *shape))
        radius = tuple(min(1, n - 1) for n in shape)
        expected = run("reference", np.asarray, x, radius, reach, [5.0])
        assert_same(run(backend, put, x, radius, reach, [5.0]), expected, expected, tolerance=TOL)


@pytest.mark.parametrize("source", ["float64", "int32"])
def test_a_large_mean_costs_no_digits(backend, put, source):
    x = (scene((1, 4, 9, 10), "float64") * 10).round()
    expected = run("reference", np.asarray, x, (1, 1, 1), (1, 2, 2), [50.0])
    result = run(backend, put, (x + 1e8).astype(source), (1, 1, 1), (1, 2, 2), [50.0], dtype="float64")
    np.testing.assert_allclose(result - 1e8, expected, rtol=0, atol=TOL * np.ptp(x))


def test_without_noise_equal_patches_alone_are_averaged(backend, put):
    x = np.repeat(scene((1, 1, 8, 9)).round(), 4, axis=1)
    for compatible in (False, True):
        h = 1e-3 if compatible else 1.0
        result = run(backend, put, x, (1, 1, 1), (2, 2, 2), [0.0], h, compatible=compatible)
        np.testing.assert_allclose(result, x, rtol=1e-6)


def test_any_number_of_threads():
    x = scene((2, 18, 70, 40))
    try:
        found = []
        for n in (1, 2, 5):
            fp.set_num_threads(n)
            found.append(run("cpu", np.asarray, x, (1, 1, 1), (1, 2, 1), [5.0, 4.0]))
    finally:
        fp.set_num_threads(None)
    np.testing.assert_array_equal(found[0], found[1])
    np.testing.assert_array_equal(found[0], found[2])
