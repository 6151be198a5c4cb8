from __future__ import annotations

import numpy as np
import pytest

import fastprep as fp
import oracles
from fastprep import Grid, Image
from fastprep.core.errors import ArgumentError, DTypeError, NonFiniteError, ShapeError
from fastprep.core.ramp import Ramp
from fastprep.testing.assertions import assert_same, to_numpy
from layouts import check_layouts, same_error, tolerance, values
from noisy_cases import check_keeps_edges

TOL = tolerance("denoise_tv")


def truth(x, weight, ndim=3, **how):
    """scikit-image in float64, volume by volume."""
    denoise = oracles.peer("skimage.restoration").denoise_tv_chambolle
    wide = x.astype(np.float64).reshape(-1, *x.shape[x.ndim - ndim :])
    out = np.stack([denoise(v.squeeze(), weight, **how).reshape(v.shape) for v in wide]).reshape(x.shape)
    return out.astype(x.dtype if x.dtype.kind == "f" else np.float32)


@pytest.mark.parametrize("dtype", ["int16", "float32", "float64"])
def test_dtypes_and_layouts(backend, put, dtype):
    x = values((4, 6, 9), dtype) // 50
    expected = truth(x, 7.0, max_num_iter=4)
    check_layouts(lambda v: fp.denoise_tv(v, weight=7, iterations=4), expected, x, put, backend, tolerance=TOL)


@pytest.mark.parametrize("shape", [(9, 14), (1, 9, 14), (2, 5, 6, 7), (2, 1, 2, 8, 9)])
def test_volumes_and_planes(backend, put, shape):
    """One slice of a volume is a plane."""
    x = values(shape, "float32")
    expected = truth(x, 200.0, min(3, len(shape)), max_num_iter=20)
    assert_same(fp.denoise_tv(put(x), weight=200, iterations=20), expected, put(x), tolerance=TOL)


def test_without_a_weight_it_is_half_the_noise_of_each(backend, put):
    rng = np.random.default_rng(0)
    x = np.stack([rng.normal(0, s, (8, 20, 20)) + 100 for s in (1.0, 30.0)]).astype(np.float32)
    found = to_numpy(fp.denoise_tv(put(x), iterations=20))
    for one, given in zip(found, x, strict=True):
        expected = truth(given, 0.5 * fp.estimate_noise(given), max_num_iter=20)
        np.testing.assert_allclose(one, expected, atol=TOL * np.ptp(given))


@pytest.mark.parametrize("weight", [None, 3.0, 1e-300])
def test_what_is_even_stays(backend, put, weight):
    x = np.full((5, 6, 7), 40.25, np.float32)
    assert_same(fp.denoise_tv(put(x), weight=weight), x, put(x), tolerance=0)


def test_it_is_of_its_units(backend, put):
    x = values((5, 9, 10), "float32")
    one, other = (to_numpy(fp.denoise_tv(put(v), weight=w)) for v, w in ((x, 100.0), (8 * x - 500, 800.0)))
    np.testing.assert_allclose(8 * one - 500, other, atol=2e-6 * np.ptp(other))


def test_it_keeps_edges():
    check_keeps_edges(fp.denoise_tv, noise=0.12, edges=0.8)


def test_images_and_types(backend, put):
    x, grid = values((5, 6, 7), "int16") // 40, Grid.from_spacing((5, 6, 7), (2, 1, 1))
    image = Image(put(x), grid, modality="MR", rescale=Ramp(-0.5, 7))
    result = fp.denoise_tv(image, weight=20)
    assert result.grid is grid and result.modality == "MR" and result.rescale.is_identity
    expected = truth((x * -0.5 + 7).astype(np.float32), 20.0)
    assert_same(result.array, expected, put(x), tolerance=TOL)
    whole = to_numpy(fp.denoise_tv(image, weight=20, dtype="int16").array)
    assert whole.dtype == np.int16 and np.abs(whole - expected).max() < 0.51
    flat = Image(put(x), Grid.from_spacing((6, 7), (1, 1)))
    assert_same(fp.denoise_tv(flat, weight=20).array, truth(x, 20.0, 2), put(x), tolerance=TOL)


def test_libraries(xp):
    x = values((5, 6, 7), "float32")
    given = xp.asarray(x)
    assert_same(fp.denoise_tv(given, weight=90), truth(x, 90.0), given, tolerance=TOL)


def test_errors(backend, put):
    x = values((3, 4, 5), "float32")
    odd = x.copy()
    odd[0, 0, :3], odd[1, 2, 3] = np.nan, -np.inf

    def fails(error, match, given=x, **how):
        same_error(lambda: fp.denoise_tv(put(given), **{"weight": 1.0, **how}), error, match)

    for weight in (0, -1, np.nan, np.inf, "1", True):
        fails(ArgumentError, "weight=.*: expected a finite number above 0", weight=weight)
    for eps in (-1e-9, np.nan, np.inf):
        fails(ArgumentError, "eps=.*: expected a finite number of at least 0", eps=eps)
    for iterations in (0, -1, 2.5, True):
        fails(ArgumentError, "iterations=.*: expected a whole number", iterations=iterations)
    fails(NonFiniteError, "x holds 4 values that are NaN or infinite", odd)
    fails(DTypeError, "x of dtype bool", x > 0)
    fails(ShapeError, r"x of shape \(5,\)", x[0, 0])
    fails(ShapeError, "expected an axis of at least 4 voxels", x[:, :3, :3], weight=None)
    with pytest.raises(DTypeError, match="complex"):
        fp.denoise_tv(x.astype(np.complex64), weight=1.0)
