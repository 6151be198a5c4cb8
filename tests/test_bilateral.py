"""bilateral and its kernel, against loops in float64."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.ndimage as ndi

import fastprep as fp
import oracles
from fastprep import Grid, Image
from fastprep.core.errors import ArgumentError, DTypeError, NonFiniteError, ShapeError
from fastprep.core.ramp import Ramp
from fastprep.testing.assertions import assert_same, to_numpy
from layouts import check_layouts, same_error, tolerance, values
from noisy_cases import SIGMA, check_keeps_edges

TOL = tolerance("bilateral")


def truth(x, value, sigmas, radius, spacing=(1, 1, 1)):
    """Voxel by voxel; of one volume or plane."""
    wide, out = x.astype(np.float64), np.empty(x.shape)
    steps = np.array(spacing[-x.ndim :]) / np.broadcast_to(sigmas, x.ndim)
    for p in np.ndindex(x.shape):
        box = tuple(slice(max(0, i - r), i + r + 1) for i, r in zip(p, radius, strict=True))
        away = np.stack(np.meshgrid(*(np.arange(n)[b] for n, b in zip(x.shape, box, strict=True)), indexing="ij"), -1)
        d = wide[box] - wide[p]
        w = np.exp(-0.5 * (((away - p) * steps) ** 2).sum(-1) - 0.5 * (d / value) ** 2)
        out[p] = wide[p] + (w * d).sum() / w.sum()
    return out.astype(x.dtype if x.dtype.kind == "f" else np.float32)


@pytest.mark.parametrize("dtype", ["uint8", "int16", "float32", "float64"])
def test_dtypes_and_layouts(backend, put, dtype):
    x = values((4, 5, 7), dtype)
    value = 0.4 * float(x.std())
    expected = truth(x, value, 1.0, (2, 2, 2))
    check_layouts(lambda v: fp.bilateral(v, sigma_value=value), expected, x, put, backend, tolerance=TOL)


@pytest.mark.parametrize(
    ("shape", "space", "radius", "used"),
    [
        ((12, 15), 1.5, None, (3, 3)),
        ((1, 9, 8), 0.9, None, (0, 2, 2)),
        ((4, 5, 6), (0.3, 2.0, 1.0), None, (0, 4, 2)),
        ((5, 4, 6), 2.0, (1, 0, 3), (1, 0, 3)),
        ((3, 4, 5), 9.0, 99, (2, 3, 4)),
        ((2, 1, 40), 1.0, 2, (1, 0, 2)),
    ],
)
def test_windows(backend, put, shape, space, radius, used):
    x = values(shape, "float32")
    expected = truth(x, 300.0, space, used)
    result = fp.bilateral(put(x), sigma_value=300, sigma_space=space, radius=radius)
    assert_same(result, expected, put(x), tolerance=TOL)


def test_mm_are_voxels_by_the_spacing(backend, put):
    x, spacing = values((4, 7, 8), "int16") // 30, (3.0, 0.8, 1.0)
    expected = truth(x, 300.0, 1.3, (1, 4, 3), spacing)
    assert_same(
        fp.bilateral(put(x), sigma_value=300, sigma_space=1.3, spacing=spacing), expected, put(x), tolerance=TOL
    )
    image = Image(put(x), Grid.from_spacing(x.shape, spacing), modality="MR", rescale=Ramp(-2.0, 5))
    result = fp.bilateral(image, sigma_value=600, sigma_space=1.3)
    assert result.grid is image.grid and result.modality == "MR" and result.rescale.is_identity
    assert_same(result.array, expected * np.float32(-2) + 5, put(x), tolerance=TOL)
    whole = to_numpy(fp.bilateral(image, sigma_value=600, sigma_space=1.3, dtype="int16").array)
    assert whole.dtype == np.int16 and np.abs(whole - (expected * -2 + 5)).max() < 0.51


def test_planes_of_a_batch(backend, put):
    x = values((3, 6, 7), "float32")
    expected = np.stack([truth(v, 300.0, 1.0, (2, 2)) for v in x])
    assert_same(fp.bilateral(put(x), sigma_value=300, spacing=(1, 1)), expected, put(x), tolerance=TOL)
    image = Image(put(x), Grid.from_spacing((6, 7), (1, 1)))
    assert_same(fp.bilateral(image, sigma_value=300).array, expected, put(x), tolerance=TOL)


def test_without_a_limit_of_values_it_is_a_gaussian(backend, put):
    """A limit of many times the range: the weights are those of places, ended at the border."""
    x = values((4, 9, 10), "float32")
    line = np.exp(-(np.arange(-3, 4) ** 2) / (2 * 1.2**2))
    total, weight = x.astype(np.float64), np.ones(x.shape)
    for axis in range(3):
        total, weight = (ndi.convolve1d(v, line, axis, mode="constant") for v in (total, weight))
    found = to_numpy(fp.bilateral(put(x), sigma_value=1e9, sigma_space=1.2))
    np.testing.assert_allclose(found, total / weight, atol=TOL * np.ptp(x))


def test_opencv(backend, put):
    """Of a plane, as far as its round window and its table of exp go: what both leave out is a corner."""
    x = (values((30, 40), "float32") / 500).astype(np.float32)
    theirs = oracles.peer("cv2").bilateralFilter(x, 7, 0.8, 0.8)
    ours = to_numpy(fp.bilateral(put(x), sigma_value=0.8, sigma_space=0.8, radius=3))
    assert np.abs(ours - theirs)[3:-3, 3:-3].max() < 2e-3 * np.ptp(x)


@pytest.mark.parametrize("value", [1e-30, 1e-3])
def test_far_below_the_noise_nothing_is_alike(backend, put, value):
    x = values((4, 5, 6), "float32")
    assert_same(fp.bilateral(put(x), sigma_value=value), x, put(x), tolerance=0)


def test_a_large_mean_costs_no_digits(backend, put):
    x = np.random.default_rng(0).integers(0, 64, (4, 5, 6)).astype(np.float32) / 64
    near, far = (to_numpy(fp.bilateral(put(x + m), sigma_value=0.5)) for m in (np.float32(0), np.float32(2**12)))
    np.testing.assert_allclose(far - 2**12, near, atol=2**-11)
    wide = x.astype(np.float64) + 2.0**20
    np.testing.assert_allclose(to_numpy(fp.bilateral(put(wide), sigma_value=0.5)) - 2.0**20, near, atol=1e-6)


def test_it_keeps_edges():
    check_keeps_edges(lambda x: fp.bilateral(x, sigma_value=3 * SIGMA, sigma_space=1.5), noise=0.2, edges=0.9)


def test_libraries(xp):
    x = values((4, 5, 6), "float32")
    given = xp.asarray(x)
    expected = truth(x, 300.0, 1.0, (2, 2, 2))
    assert_same(fp.bilateral(given, sigma_value=300), expected, given, tolerance=TOL)


def test_any_number_of_threads():
    x = values((5, 30, 20), "float32")
    try:
        found = []
        for n in (1, 2, 5):
            fp.set_num_threads(n)
            found.append(fp.bilateral(x, sigma_value=300))
    finally:
        fp.set_num_threads(None)
    np.testing.assert_array_equal(found[0], found[1])
    np.testing.assert_array_equal(found[0], found[2])


def test_errors(backend, put):
    x = values((3, 4, 5), "float32")
    odd = x.copy()
    odd[0, 0, :3], odd[1, 2, 3] = np.nan, np.inf

    def fails(error, match, given=x, **how):
        same_error(lambda: fp.bilateral(put(given), **{"sigma_value": 1.0, **how}), error, match)

    for bad in (0, -1, np.nan, np.inf, "1"):
        fails(ArgumentError, "sigma_value=.*: expected a finite number above 0", sigma_value=bad)
        fails(ArgumentError, "sigma_space=.*: expected a finite number above 0", sigma_space=bad)
    fails(ArgumentError, "sigma_space=.*: expected a number above 0, or 3 of them", sigma_space=(1, 1))
    for radius in (-1, 1.5, (1, 1)):
        fails(ArgumentError, "radius=.*: expected a whole number of voxels, at least 0", radius=radius)
    fails(NonFiniteError, "x holds 4 values that are NaN or infinite", odd)
    fails(DTypeError, "x of dtype bool", x > 0)
    fails(ShapeError, r"x of shape \(5,\)", x[0, 0])
