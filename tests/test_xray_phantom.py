"""The X-ray phantom: every seed another patient, the same on any pixels, and no threshold finds its lungs."""

from __future__ import annotations

import numpy as np
import pytest

import fastprep as fp
from fastprep.qc import dice
from fastprep.testing import xray_phantom

SMALL = ((96, 96), (3.75, 3.75))


@pytest.fixture(scope="module")
def patients():
    return [xray_phantom(*SMALL, seed=seed) for seed in range(8)]


def test_form(patients):
    for one in patients:
        image, lungs = one.image, one.lungs
        assert image.array.dtype == np.uint16 and image.array.max() <= 4095 and image.modality == "DX"
        assert image.grid is lungs.grid and image.grid.axcodes == ("I", "L") and lungs.kind == "label"
        assert image.spacing == pytest.approx((3.75, 3.75))
        assert set(np.unique(lungs.array)) == {0, 1, 2}


def test_right_is_right(patients):
    """Columns run towards L: the right lung is on the left of the picture, and neither reaches the other or the rim."""
    for one in patients:
        right, left = (np.argwhere(one.lungs.array == label) for label in (1, 2))
        assert right[:, 1].max() < left[:, 1].min()
        for lung in (right, left):
            assert (lung.min(axis=0) > 0).all() and (lung.max(axis=0) < 95).all()
            assert 5_000 < len(lung) * 3.75**2 < 25_000  # mm2


def test_seeds(patients):
    again = xray_phantom(*SMALL, seed=3)
    np.testing.assert_array_equal(again.image.array, patients[3].image.array)
    np.testing.assert_array_equal(again.lungs.array, patients[3].lungs.array)
    alike = [dice(patients[i].lungs.array, patients[j].lungs.array) for i in range(8) for j in range(i)]
    assert max(alike) < 0.95 and np.mean(alike) < 0.85


def test_same_patient_on_other_pixels(patients):
    fine = xray_phantom((240, 240), (1.5, 1.5), seed=2)
    there = fp.resample_to(fine.lungs, patients[2].lungs.grid)
    assert dice(there.array, patients[2].lungs.array) > 0.98


def test_lungs_are_darker_than_what_is_beside_them_and_lighter_than_air(patients):
    for one in patients:
        x, inside = one.image.array.astype(float), one.lungs.array != 0
        body = ~inside & (x > fp.otsu(one.image.array))
        assert np.median(x[inside]) < np.median(x[body])
        assert dice(x < fp.otsu(one.image.array), inside) < 0.8
