from __future__ import annotations

from functools import partial

import numpy as np
import pytest
import scipy.ndimage as ndi

import fastprep as fp
from fastprep import Grid, Image
from fastprep.core.errors import ArgumentError, DTypeError, NonFiniteError, ShapeError
from fastprep.core.ramp import Ramp
from fastprep.testing.assertions import assert_same, to_numpy
from fastprep.testing.phantoms import BRAIN, brain_mri, labels_on, patient_grid
from layouts import check_layouts, same_error, tolerance
from oracles import peer
from test_nlm import scene, truth

TOL = tolerance("denoise_nlm")


@pytest.mark.parametrize(
    ("shape", "patch", "distance"), [((24, 31), 5, 4), ((23, 20), 7, 3), ((9, 10, 11), 3, 2), ((7, 12, 8), 5, 2)]
)
@pytest.mark.parametrize("sigma", [None, 5.0])
def test_scikit_image(backend, put, shape, patch, distance, sigma):
    x = scene(shape, "float64")
    result = fp.denoise_nlm(put(x), patch=patch, distance=distance, h=8.0, sigma=sigma, compatible=True)
    expected = peer("skimage.restoration").denoise_nl_means(
        x, patch, distance, 8.0, fast_mode=True, sigma=sigma or 0.0, preserve_range=True
    )
    assert_same(result, expected, put(x), tolerance=1e-5)
    assert np.abs(expected - x).max() > 5


@pytest.mark.parametrize("dtype", ["int16", "float32"])
def test_every_layout(backend, put, dtype):
    x = scene((5, 6, 9), dtype)
    expected = truth(x, (1, 1, 1), (1, 1, 1), 5.0).astype(np.float32)
    check_layouts(lambda v: fp.denoise_nlm(v, distance=1, sigma=5), expected, x, put, backend, tolerance=TOL)


def test_sizes_of_each_axis(backend, put):
    """An axis of one voxel has no neighbours, whatever is asked for."""
    for shape, patch, distance, radius, reach in [
        ((5, 9, 10), (1, 3, 5), (0, 2, 1), (0, 1, 2), (0, 2, 1)),
        ((1, 9, 10), 3, 2, (0, 1, 1), (0, 2, 2)),
        ((9, 10), [3, 1], [1, 2], (0, 1, 0), (0, 1, 2)),
        ((6, 1, 9), 3, np.int64(2), (1, 0, 1), (2, 0, 2)),
    ]:
        x = scene(shape)
        expected = truth(x.reshape(-1, *x.shape[-2:]), radius, reach, 5.0, 0.8).reshape(shape).astype(np.float32)
        result = fp.denoise_nlm(put(x), patch=patch, distance=distance, h=0.8, sigma=5)
        assert_same(result, expected, put(x), tolerance=TOL)


def test_distance_0_and_constant_images(backend, put):
    x = scene((4, 9, 10))
    assert_same(fp.denoise_nlm(put(x), distance=0, sigma=5), x, put(x), tolerance=0)
    for given in (np.full((4, 5, 6), 7.25, np.float32), np.full((9, 10), -3, np.int16)):
        for how in ({}, {"sigma": 2}, {"sigma": 0}, {"compatible": True}):
            assert_same(
                fp.denoise_nlm(put(given), distance=1, **how), given.astype(np.float32), put(given), tolerance=0
            )


def test_each_volume_of_a_batch_has_its_noise(backend, put):
    x = np.stack([scene((6, 12, 13)), 3 * scene((6, 12, 13), seed=1)])[:, None]
    sigmas = fp.estimate_noise(x)
    assert sigmas.shape == (2, 1) and sigmas[1, 0] > 2 * sigmas[0, 0]
    expected = np.stack([[truth(v[0], (1, 1, 1), (1, 1, 1), s)] for v, s in zip(x, sigmas[:, 0], strict=True)])
    for sigma in (None, sigmas, sigmas.tolist()):
        result = fp.denoise_nlm(put(x), distance=1, sigma=sigma)
        assert_same(result, expected.astype(np.float32), put(x), tolerance=TOL)


def test_images_and_results(backend, put):
    x, grid = scene((5, 9, 10), "int16"), Grid.from_spacing((5, 9, 10), (2, 1, 1))
    result = fp.denoise_nlm(Image(put(x), grid, modality="CT", rescale=Ramp(2, -1024)), distance=1, sigma=10)
    assert result.grid is grid and result.modality == "CT" and result.rescale.is_identity
    smooth = truth(x, (1, 1, 1), (1, 1, 1), 5.0)
    assert_same(result.array, (2 * smooth - 1024).astype(np.float32), put(x), tolerance=2 * TOL)
    for dtype in ("int16", "uint8", "float64", "float16"):
        cast = fp.denoise_nlm(put(x), distance=1, sigma=5, dtype=dtype)
        expected = np.rint(smooth).astype(dtype) if dtype[0] in "iu" else smooth.astype(dtype)
        assert_same(cast, expected, put(x), tolerance=TOL)
    assert_same(
        fp.denoise_nlm(put(x - 400), sigma=5, distance=1, dtype="uint8"),
        np.zeros(x.shape, np.uint8),
        put(x),
        tolerance=0,
    )


def test_libraries(xp):
    x = scene((4, 6, 7))
    expected = truth(x, (1, 1, 1), (1, 1, 1), 5.0).astype(np.float32)
    assert_same(fp.denoise_nlm(xp.asarray(x), distance=1, sigma=5), expected, xp.asarray(x), tolerance=TOL)


def test_turning_the_image_turns_the_result(backend, put):
    x = scene((6, 9, 10))
    result = to_numpy(fp.denoise_nlm(put(x), sigma=5, distance=1))
    for axes in ((2, 0, 1), (1, 2, 0)):
        turned = to_numpy(fp.denoise_nlm(put(np.ascontiguousarray(x.transpose(axes))), sigma=5, distance=1))
        np.testing.assert_allclose(turned, result.transpose(axes), rtol=0, atol=TOL * np.ptp(x))


def test_noise_falls_and_edges_stay():
    """More than a Gaussian blur that leaves as much noise, which is more than nothing: on a head, in white matter."""
    grid = patient_grid((20, 72, 64), (3, 2.6, 2.4), axes="SAR")
    clean = brain_mri((20, 72, 64), (3, 2.6, 2.4), noise=0).array
    x = clean + np.random.default_rng(0).normal(0, 40, clean.shape).astype(np.float32)
    white = ndi.binary_erosion(labels_on(grid, BRAIN).array == 5, np.ones((3, 3, 3)), 2)
    assert white.sum() > 2000
    steps = np.abs(np.diff(clean, axis=2)) > 200

    rise = np.diff(clean, axis=2)

    def nlm(y):
        return fp.denoise_nlm(y, sigma=40)

    def noise(f):
        """What is left of it, where what the filter does to the image itself does not count."""
        return float((f(x) - f(clean))[white].std()) / 40

    def edges(f):
        """The share of the steps along x that is left."""
        return float((np.diff(f(x), axis=2) * rise)[steps].sum() / (rise[steps] ** 2).sum())

    def error(f):
        return float(np.sqrt(np.square(f(x) - clean).mean())) / 40

    low, high, wanted = 0.0, 4.0, noise(nlm)
    for _ in range(8):
        middle = (low + high) / 2
        low, high = (middle, high) if noise(partial(ndi.gaussian_filter, sigma=middle)) > wanted else (low, middle)
    blur = partial(ndi.gaussian_filter, sigma=high)
    assert wanted < 0.15 and noise(blur) == pytest.approx(wanted, rel=0.05)
    assert edges(nlm) > 0.9 and edges(blur) < 0.5
    assert error(nlm) < 0.5 and error(blur) > 1.2


def test_magnitudes_lose_what_noise_adds():
    rng = np.random.default_rng(1)
    clean = np.where(np.arange(40) < 20, 0.0, 60.0) * np.ones((16, 40, 40))
    x = np.hypot(clean + rng.normal(0, 20, clean.shape), rng.normal(0, 20, clean.shape))
    plain, ours = (fp.denoise_nlm(x, sigma=20, h=1.2, rician=r) for r in (False, True))
    air, tissue = np.s_[..., 2:18], np.s_[..., 22:38]
    assert plain[air].mean() > 24 > 12 > ours[air].mean()
    assert abs(plain[tissue].mean() - 60) > 3 > 1 > abs(ours[tissue].mean() - 60)
    sigma = fp.estimate_noise(x, rician=True)
    np.testing.assert_array_equal(fp.denoise_nlm(x, rician=True), fp.denoise_nlm(x, rician=True, sigma=sigma))


def test_errors(backend, put):
    x = scene((4, 6, 7))
    odd = x.copy()
    odd[0, 0, :3], odd[1, 2, 3] = np.nan, np.inf

    def fails(error, match, given=x, **how):
        same_error(lambda: fp.denoise_nlm(put(given), **how), error, match)

    fails(NonFiniteError, "x holds 4 values that are NaN or infinite", odd)
    fails(DTypeError, "x of dtype bool", x > 0)
    fails(ShapeError, r"x of shape \(7,\)", x[0, 0])
    fails(ShapeError, "none of length zero", x[:0])
    for patch in (2, 0, -1, 3.0, True, (3, 3), (3, 3, 4)):
        fails(ArgumentError, "patch=.*: expected an odd number of voxels, at least 1, or 3 of them", patch=patch)
    for distance in (-1, 1.5, (1, 1)):
        fails(ArgumentError, "distance=.*: expected a whole number of voxels, at least 0", distance=distance)
    for h in (0, -1, np.nan, np.inf, "1"):
        fails(ArgumentError, "h=.*: expected a finite number above 0", h=h)
    for sigma in (-1, np.nan, np.inf, "a", [1.0, 2.0]):
        fails(ArgumentError, "sigma=.*: expected a finite number of at least 0", sigma=sigma)
    fails(ArgumentError, "scikit-image has no Rician noise", compatible=True, rician=True)
    fails(ArgumentError, "patch=1: expected at least 3", compatible=True, patch=1)
    fails(ArgumentError, "its squares are beyond float32", x.astype(np.float64) * 1e30)
    fails(ArgumentError, "its squares are beyond float32", x * np.float32(1e-30))
    fails(DTypeError, "dtype='complex64'", dtype="complex64")
    fails(DTypeError, "x of dtype complex64", x.astype(np.complex64)) if backend != "gpu" else None
