"""The bias phantom is what it says: the field, the noise and the tissues have the figures they are documented with."""

from __future__ import annotations

import math

import numpy as np
import pytest

import fastprep as fp
from fastprep.testing import bias_phantom, bias_phantom_on, patient_grid
from fastprep.testing.bias_phantom import TISSUES, VALUES

SMALL = ((48, 56, 48), (3.6, 3.6, 3.6))


@pytest.fixture(scope="module")
def head():
    return bias_phantom()


def test_parts_fit_together(head):
    grid = head.image.grid
    assert head.image.array.dtype == np.float32 and head.image.modality == "MR" and grid.axcodes == ("S", "A", "R")
    assert head.truth.array.shape == head.log_field.shape == head.mask.shape == head.tissue.array.shape == grid.shape
    assert head.tissue.kind == "label" and set(np.unique(head.tissue.array)) == set(range(len(TISSUES)))
    np.testing.assert_array_equal(
        head.mask, np.isin(head.tissue.array, [TISSUES.index(t) for t in ("csf", "grey", "white")])
    )
    np.testing.assert_allclose(head.clean.array, head.image.array / np.exp(head.log_field), rtol=1e-6)


def test_noise_free_image_is_truth_times_field():
    head = bias_phantom(*SMALL, noise=0)
    np.testing.assert_allclose(head.image.array, head.truth.array * np.exp(head.log_field), rtol=1e-5)
    np.testing.assert_allclose(head.clean.array, head.truth.array, rtol=1e-5)


def test_tissues_have_their_values_and_volumes(head):
    truth, tissue = head.truth.array, head.tissue.array
    for label, tolerance in ((2, 0.02), (3, 0.02), (5, 0.05)):
        assert np.median(truth[tissue == label]) == pytest.approx(VALUES[label], rel=tolerance), TISSUES[label]
    litres = {name: (tissue == i).sum() * 1.8**3 / 1e6 for i, name in enumerate(TISSUES)}
    assert 0.15 < litres["csf"] < 0.35 and 0.4 < litres["grey"] < 0.7 and 0.4 < litres["white"] < 0.7
    # Folded: the white matter's border is far larger than that of a ball of its volume. Faces of a staircase
    # are 3/2 of the surface that they follow.
    white = tissue == TISSUES.index("white")
    faces = sum(int(np.count_nonzero(np.diff(white, axis=axis))) for axis in range(3))
    assert 2 / 3 * faces > 2 * (36 * math.pi * int(white.sum()) ** 2) ** (1 / 3)


def test_texture_is_small_and_the_tissues_own(head):
    """White matter away from its borders: a few percent, and nothing a linear field explains."""
    from scipy.ndimage import binary_erosion

    deep = binary_erosion(head.tissue.array == 3, iterations=2)
    values = head.truth.array[deep]
    assert 0.01 < values.std() / values.mean() < 0.03
    design = np.column_stack([np.ones(deep.sum()), np.argwhere(deep)])
    left = values - design @ np.linalg.lstsq(design, values, rcond=None)[0]
    assert left.std() > 0.9 * values.std()


@pytest.mark.parametrize("strength", [0.1, 0.4])
def test_field_has_zero_mean_and_the_range_asked_for(strength):
    head = bias_phantom(*SMALL, strength=strength)
    field = head.log_field[head.mask]
    assert head.log_field.dtype == np.float64
    assert field.mean() == pytest.approx(0, abs=1e-12)
    assert np.ptp(field) == pytest.approx(2 * strength)
    assert field.std() > 0.25 * strength, "not one hot corner"


def test_field_is_smooth_and_no_polynomial(head):
    """A cubic in each axis takes nearly all of it and leaves more than nothing, as of a real coil's."""
    inside = np.argwhere(head.mask)[::20]
    x = 2 * inside / (np.array(head.mask.shape) - 1) - 1
    powers = [(a, b, c) for a in range(4) for b in range(4 - a) for c in range(4 - a - b)]
    design = np.column_stack([np.prod(x**p, axis=1) for p in powers])
    field = head.log_field[tuple(inside.T)]
    left = field - design @ np.linalg.lstsq(design, field, rcond=None)[0]
    assert 0.01 < left.std() / field.std() < 0.2


def test_noise_is_rician(head):
    air = bias_phantom(*SMALL, noise=20)
    corner = air.image.array[(air.truth.array == 0)].astype(np.float64)
    assert corner.size > 10_000
    assert corner.mean() == pytest.approx(20 * math.sqrt(math.pi / 2), rel=0.01)
    assert corner.std() == pytest.approx(20 * math.sqrt(2 - math.pi / 2), rel=0.01)
    assert (corner**2).mean() == pytest.approx(2 * 20**2, rel=0.02)
    # In bright tissue it is nearly normal, raised by sigma^2 / 2S.
    white = head.tissue.array == 3
    signal = head.truth.array[white] * np.exp(head.log_field[white])
    error = head.image.array[white] - signal
    assert error.std() == pytest.approx(20, rel=0.01)
    assert error.mean() == pytest.approx((400 / (2 * signal)).mean(), abs=0.25)


def test_seeds_and_streams():
    def same(a, b):
        return np.array_equal(a, b)

    one, again, other = (bias_phantom(*SMALL, seed=s) for s in (1, 1, 2))
    assert same(one.image.array, again.image.array) and same(one.log_field, again.log_field)
    assert not same(one.truth.array, other.truth.array) and not same(one.log_field, other.log_field)
    # The anatomy, the shape of the field and the noise know nothing of each other's size.
    strong = bias_phantom(*SMALL, seed=1, strength=0.6, noise=0)
    assert same(one.truth.array, strong.truth.array)
    np.testing.assert_allclose(strong.log_field, 2 * one.log_field, atol=1e-12)


def test_same_head_on_another_grid():
    """Folds, texture and coil live in world space: an oblique grid shows the same head."""
    fine = bias_phantom((96, 112, 96), noise=0)
    turned = bias_phantom_on(patient_grid((40, 50, 44), (4, 3.5, 3.9), axes="SAR", turn=(8, -5, 10)), noise=0)
    moved = fp.resample_to(fine.truth, turned.image.grid)
    deep = turned.mask & (np.abs(turned.truth.array - VALUES[3]) < 40)
    assert np.median(np.abs(moved.array - turned.truth.array)[deep]) < 10
    field = fp.resample_to(fine.image.with_array(fine.log_field), turned.image.grid).array
    scale = np.polyfit(field[turned.mask], turned.log_field[turned.mask], 1)
    assert scale[0] == pytest.approx(1, abs=0.05)
    assert np.corrcoef(field[turned.mask], turned.log_field[turned.mask])[0, 1] > 0.9999


def test_a_slice():
    flat = bias_phantom((112, 96), (1.8, 1.8))
    assert flat.image.grid.ndim == 2 and flat.image.grid.axcodes == ("A", "R")
    assert flat.mask.sum() > 2000 and set(np.unique(flat.tissue.array)) == set(range(6))
    assert flat.log_field[flat.mask].mean() == pytest.approx(0, abs=1e-12)
