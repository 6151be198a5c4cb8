from __future__ import annotations

import importlib
import math
from functools import reduce

import numpy as np
import pytest
from skimage.metrics import structural_similarity

import fastprep as fp
from fastprep import Grid, Image
from fastprep.core.errors import ArgumentError, GeometryError, NonFiniteError, ShapeError
from fastprep.ops._arrays import view_of
from fastprep.testing.assertions import assert_same, to_numpy
from layouts import LAYOUTS, same_error, values

RANGE = 255
WANG = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False}


def pair(shape, dtype="float64", seed=0):
    """Something smooth, and it with noise and another gain."""
    rng = np.random.default_rng(seed)
    waves = [np.sin(np.arange(n) / 3 + k) for k, n in enumerate(shape)]
    a = 100 + 60 * reduce(np.multiply, np.ix_(*waves)) + rng.normal(0, 5, shape)
    return [x.clip(0, RANGE).astype(dtype) for x in (a, 0.9 * a + rng.normal(0, 8, shape))]


def check(put, a, b, *, tolerance=1e-10, **how):
    """Mean and map, against scikit-image in float64."""
    there = {k: v for k, v in how.items() if k not in ("window", "gaussian_sigma")}
    peer = WANG if "gaussian_sigma" in how else {"win_size": how.get("window", 7)}
    mean, expected = structural_similarity(
        np.squeeze(a).astype(float), np.squeeze(b).astype(float), data_range=RANGE, full=True, **peer
    )
    assert fp.ssim(put(a), put(b), data_range=RANGE, **how) == pytest.approx(mean, abs=tolerance)
    found, s = fp.ssim(put(a), put(b), data_range=RANGE, full=True, **how, **there)
    assert type(found) is float and found == pytest.approx(mean, abs=tolerance)
    kind = np.float64 if "float64" in (a.dtype, b.dtype) else np.float32
    allowed = tolerance if kind == np.float64 else 1e-6
    assert_same(s, expected.reshape(a.shape).astype(kind), put(a), tolerance=allowed, scale=1.0)


@pytest.mark.parametrize("shape", [(33, 41), (7, 9, 12), (1, 20, 21), (12, 1, 15)])
@pytest.mark.parametrize("dtype", ["uint8", "float64"])
def test_scikit_image(backend, put, shape, dtype):
    check(put, *pair(shape, dtype))


@pytest.mark.parametrize("how", [{"window": 3}, {"window": 11}, {"gaussian_sigma": 1.5}])
def test_windows(backend, put, how):
    for shape in ((25, 30), (11, 12, 13)):
        check(put, *pair(shape), **how)


def test_two_types(backend, put):
    a, b = pair((20, 30), "int16")
    check(put, a, b.astype(np.float32) + 0.25)


@pytest.mark.parametrize("layout", ["sliced", "reversed", "transposed"])
def test_layouts(backend, put, layout):
    a, b = pair((8, 9, 12))
    expected = structural_similarity(a, b, data_range=RANGE)
    for first, second in ((LAYOUTS[layout](a), b), (a, LAYOUTS[layout](b))):
        assert fp.ssim(put(first), put(second), data_range=RANGE) == pytest.approx(expected, abs=1e-10)


def test_slices_of_a_volume(backend, put):
    """A window of one voxel across slices: each by itself."""
    a, b = pair((4, 15, 16))
    expected = [structural_similarity(v, w, data_range=RANGE) for v, w in zip(a, b, strict=True)]
    assert fp.ssim(put(a), put(b), data_range=RANGE, window=(1, 7, 7)) == pytest.approx(np.mean(expected), abs=1e-10)
    flat = [Image(put(x), Grid.from_spacing((15, 16), (1, 1))) for x in (a, b)]
    found, s = fp.ssim(*flat, data_range=RANGE, full=True)
    np.testing.assert_allclose(found, expected, atol=1e-10)
    assert isinstance(s, Image) and s.grid is flat[0].grid and tuple(s.array.shape) == a.shape


def test_batches_and_a_mask(backend, put):
    a, b = pair((3, 8, 9, 10))
    mask = values((8, 9, 10), "bool", 2)
    maps = [structural_similarity(v, w, data_range=RANGE, full=True) for v, w in zip(a, b, strict=True)]
    np.testing.assert_allclose(fp.ssim(put(a), put(b), data_range=RANGE), [m for m, _ in maps], atol=1e-10)
    found = fp.ssim(put(a), put(b), data_range=RANGE, mask=put(mask))
    np.testing.assert_allclose(found, [s[mask].mean() for _, s in maps], atol=1e-10)


def test_what_it_is_for(backend, put):
    """Itself is 1; a gain in both is none; blur and noise of one error are told apart."""
    a, _ = pair((40, 50))
    assert fp.ssim(put(a), put(a), data_range=RANGE) == pytest.approx(1, abs=1e-12)
    constant = put(np.full((9, 9), 7, np.uint8))
    assert fp.ssim(constant, constant, data_range=RANGE) == 1
    doubled = fp.ssim(put(2 * a), put(1.8 * a), data_range=2 * RANGE)
    assert doubled == pytest.approx(fp.ssim(put(a), put(0.9 * a), data_range=RANGE), abs=1e-12)
    shifted, noisy = a + 8, a + np.random.default_rng(1).choice([-8.0, 8.0], a.shape)
    assert fp.mse(put(a), put(shifted)) == pytest.approx(fp.mse(put(a), put(noisy)))
    assert fp.ssim(put(a), put(shifted), data_range=RANGE) > fp.ssim(put(a), put(noisy), data_range=RANGE) + 0.02


def test_libraries(xp):
    a, b = pair((12, 13), "float32")
    found, s = fp.ssim(xp.asarray(a), xp.asarray(b), data_range=RANGE, full=True)
    mean, expected = structural_similarity(a.astype(float), b.astype(float), data_range=RANGE, full=True)
    assert found == pytest.approx(mean, abs=1e-10)
    assert_same(s, expected.astype(np.float32), xp.asarray(a), tolerance=1e-6)


def test_windows_larger_than_the_image(backend, put):
    """No operation asks for it: there is a map then, and no voxel whose window lies inside."""
    a, b = pair((1, 1, 3, 4))
    kernel = importlib.import_module(f"fastprep.kernels.{backend}.ssim").ssim
    weights = np.ones(1), np.full(9, 1 / 9), np.full(5, 0.2)
    out = put(np.full(a.shape, 7.0))
    found = kernel(view_of(put(a)), view_of(put(b)), weights, (0, 4, 2), 1.0, 6.5, 58.5, view_of(out))
    assert len(found) == 1 and math.isnan(found[0])
    assert np.isfinite(to_numpy(out)).all() and to_numpy(out).max() <= 1


def test_any_number_of_threads():
    a, b = pair((9, 30, 31), "float32")
    try:
        found = []
        for n in (1, 2, 5):
            fp.set_num_threads(n)
            mean, s = fp.ssim(a, b, data_range=RANGE, full=True)
            found.append((mean, s.tobytes(), fp.ssim(a, b, data_range=RANGE)))
    finally:
        fp.set_num_threads(None)
    assert found[0] == found[1] == found[2]
    assert found[0][0] == found[0][2]


def test_errors(backend, put):
    a, b = pair((5, 9, 10))
    odd = b.copy()
    odd[0, 0, 0] = np.nan
    grids = [Grid.from_spacing((5, 9, 10), (k, 1, 1)) for k in (1, 2)]
    images = [Image(put(x), grid) for x, grid in zip((a, b), grids, strict=True)]

    def figure(x, y, **how):
        return lambda: fp.ssim(put(x), put(y), **{"data_range": RANGE, "window": 3, **how})

    same_error(figure(a, b, window=7), ShapeError, r"window=7: a has 5 voxels along .*\(5, 9, 10\).*\(1, 7, 7\)")
    same_error(figure(a, b, gaussian_sigma=1.5), ShapeError, r"gaussian_sigma=1.5, a window of 11: a has 5 voxels")
    for window in (4, 1, 0, -3, True, 3.0, (3, 3), (3, 3, 2), "7"):
        same_error(figure(a, b, window=window), ArgumentError, r"window=.*expected an odd number")
    for sigma in (0, -1, math.nan, math.inf, "1.5"):
        same_error(figure(a, b, gaussian_sigma=sigma), ArgumentError, "gaussian_sigma=")
    same_error(figure(a, b, data_range=100), ArgumentError, "data_range=100: a goes from")
    same_error(figure(a, b, data_range=-1), ArgumentError, "expected a number above 0")
    same_error(figure(a, b[:4]), ShapeError, r"b of shape \(4, 9, 10\)")
    same_error(lambda: fp.ssim(*images, data_range=RANGE, window=3), GeometryError, "expected one grid")
    same_error(figure(odd, b), NonFiniteError, "a holds 1 values that are NaN")
    same_error(figure(a, odd), NonFiniteError, "b holds 1 values that are NaN")
    same_error(figure(a, b, mask=put(np.zeros(a.shape, bool))), ArgumentError, "mask holds no voxel")
    same_error(figure(a, b, mask=put(np.zeros((4, 9, 10)))), ShapeError, "mask of shape")
