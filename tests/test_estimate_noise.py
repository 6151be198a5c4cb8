from __future__ import annotations

import numpy as np
import pytest

import fastprep as fp
from fastprep import Grid, Image
from fastprep.core.errors import ArgumentError, DTypeError, NonFiniteError, ShapeError
from fastprep.core.noise import gaussian_sigma
from fastprep.core.ramp import Ramp
from fastprep.testing.phantoms import brain_mri, chest_ct
from layouts import LAYOUTS, same_error
from oracles import peer


def noise(shape, sigma=12.0, seed=0):
    return np.random.default_rng(seed).normal(40, sigma, shape)


@pytest.mark.parametrize("shape", [(20, 40, 44), (150, 160)])
def test_scikit_image(backend, put, shape):
    """Its windows reach beyond the border, where it mirrors the image: a few parts in a hundred."""
    pytest.importorskip("pywt")
    x = noise(shape)
    x[..., 20:] += 300
    found = fp.estimate_noise(put(x))
    assert type(found) is float
    assert found == pytest.approx(peer("skimage.restoration").estimate_sigma(x), rel=0.08)
    assert found == pytest.approx(12, rel=0.05)


@pytest.mark.parametrize("dtype", ["uint8", "int16", "float32", "float64"])
def test_types_and_layouts(backend, put, dtype):
    x = noise((9, 24, 26)).clip(0, 255).astype(dtype)
    found = [
        fp.estimate_noise(put(layout(x)))
        for name, layout in LAYOUTS.items()
        if backend != "gpu" or name not in ("big-endian", "unaligned", "read-only")
    ]
    assert np.ptp(found) < 1e-6 * found[0] and found[0] == pytest.approx(12, rel=0.1)


def test_what_does_not_vary_does_not_count(backend, put):
    """A background set to 0, or to air, is most of the image and has no noise."""
    x = noise((16, 60, 64))
    whole = fp.estimate_noise(x)
    for background in (0.0, -1000.1):
        x[:, 40:], x[:, :, 46:] = background, background
        assert fp.estimate_noise(put(x.astype(np.float32))) == pytest.approx(whole, rel=0.12)
    assert fp.estimate_noise(put(np.full((6, 7, 8), -1000.1))) == 0.0
    assert fp.estimate_noise(put(np.zeros((9, 10), np.uint8))) == 0.0


def test_inside_a_mask(backend, put):
    x = np.concatenate([noise((8, 48, 50), 5), noise((8, 48, 50), 25)], axis=2).astype(np.float32)
    left = np.zeros(x.shape, bool)
    left[..., :50] = True
    for mask in (left, left.astype(np.int16), left.astype(np.float32)):
        assert fp.estimate_noise(put(x), mask=put(mask)) == pytest.approx(5, rel=0.06)
    assert fp.estimate_noise(put(x), mask=put(~left)) == pytest.approx(25, rel=0.06)
    both = np.stack([x, x])
    np.testing.assert_allclose(fp.estimate_noise(put(both), mask=put(np.stack([left, ~left]))), [5, 25], rtol=0.06)
    np.testing.assert_allclose(fp.estimate_noise(put(both), mask=put(left)), [5, 5], rtol=0.06)


def test_volumes_of_a_batch_and_images(backend, put):
    x = np.stack([noise((6, 40, 42), s, seed=s) for s in (3, 6, 9, 12)]).reshape(2, 2, 6, 40, 42).astype(np.int16)
    found = fp.estimate_noise(put(x))
    assert found.dtype == np.float64
    np.testing.assert_allclose(found, [[3, 6], [9, 12]], rtol=0.08)
    grid = Grid.from_spacing((6, 40, 42), (1, 1, 1))
    np.testing.assert_allclose(fp.estimate_noise(Image(put(x), grid, rescale=Ramp(-2, 7))), 2 * found, rtol=1e-5)
    # Pictures of three rows are looked at along x alone.
    assert fp.estimate_noise(put(noise((3, 4000)))) == pytest.approx(12, rel=0.05)


@pytest.mark.parametrize("snr", [0.0, 0.4, 1.5, 3.0, 20.0, 90.0])
def test_koay(snr):
    """Mean and deviation of a magnitude, by Monte Carlo, tell the noise of its channels."""
    a, b = np.random.default_rng(0).normal(0, 4, (2, 400_000))
    x = np.hypot(4 * snr + a, b)
    assert gaussian_sigma(float(x.mean()), float(x.std())) == pytest.approx(4, rel=0.06 if snr < 1 else 0.01)


def test_magnitudes(backend, put):
    rng = np.random.default_rng(2)
    for signal, within in ((0, 0.15), (60, 0.06), (400, 0.05)):
        x = np.hypot(signal + rng.normal(0, 20, (12, 40, 44)), rng.normal(0, 20, (12, 40, 44))).astype(np.float32)
        assert fp.estimate_noise(put(x), mask=put(np.ones(x.shape, bool)), rician=True) == pytest.approx(20, rel=within)
        assert fp.estimate_noise(put(x), rician=True) == pytest.approx(20, rel=0.12)
    x[..., :20] = np.hypot(*rng.normal(0, 20, (2, 12, 40, 20)))
    assert fp.estimate_noise(put(x), rician=True) == pytest.approx(20, rel=0.12)


def test_phantoms():
    """Air around a head tells the noise of both channels; without the correction it is a third too low."""
    head = brain_mri((48, 128, 128), (4, 2, 2), noise=30)
    air = brain_mri((48, 128, 128), (4, 2, 2), noise=0).array == 0
    assert fp.estimate_noise(head, mask=air, rician=True) == pytest.approx(30, rel=0.08)
    assert fp.estimate_noise(head, rician=True) == pytest.approx(30, rel=0.15)
    assert fp.estimate_noise(head, mask=air) < 22
    assert fp.estimate_noise(chest_ct(noise=15)) == pytest.approx(15, rel=0.1)


def test_errors(backend, put):
    x = noise((4, 8, 9)).astype(np.float32)
    odd, none = x.copy(), np.zeros(x.shape, bool)
    odd[0, 0, :3] = np.nan

    def fails(error, match, given=x, **how):
        same_error(lambda: fp.estimate_noise(put(given), **how), error, match)

    fails(NonFiniteError, "x holds 3 values that are NaN or infinite", odd)
    fails(ArgumentError, "mask holds no voxel", mask=put(none))
    fails(ArgumentError, "mask holds no voxel", mask=put(none), rician=True)
    fails(ShapeError, r"mask of shape \(2, 8, 9\)", mask=put(none[:2]))
    fails(ShapeError, r"x of shape \(3, 3, 3\): expected an axis of at least 4 voxels", x[:3, :3, :3])
    fails(DTypeError, "x of dtype bool", none)
