"""collimation_mask on radiographs whose borders are known, on such as have none, and on the real ones."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

import fastprep as fp
from fastprep.core.errors import ArgumentError, NonFiniteError, ShapeError
from fastprep.qc import dice
from fastprep.testing import Collimator, to_numpy, xray_phantom
from fastprep.testing.assertions import assert_same

ALL = ("left", "right", "top", "bottom")
SIZE = ((256, 240), (1.4, 1.5))
CASES = {
    "straight": (Collimator(0.1, 0.12, 0.08, 0.15), ALL),
    "turned": (Collimator(0.12, 0.1, 0.12, 0.1, rotation=5), ALL),
    "turned the other way": (Collimator(0.2, 0.2, 0.1, 0.1, rotation=-3), ALL),
    "most of the image": (Collimator(0.3, 0.3, 0.2, 0.25), ALL),
    "thin": (Collimator(0.02, 0.02, 0.02, 0.02), ALL),
    "one side": (Collimator(left=0.1), ("left",)),
    "two sides": (Collimator(top=0.2, right=0.05), ("right", "top")),
    "shutter below": (Collimator(bottom=0.15, border="dark"), ("bottom",)),
    "shutter": (Collimator(0.1, 0.1, 0.1, 0.1, border="dark"), ALL),
}


def overlap(one, two):
    """Intersection over union."""
    one, two = np.asarray(one) != 0, np.asarray(two) != 0
    return np.count_nonzero(one & two) / np.count_nonzero(one | two)


@pytest.mark.parametrize("case", CASES)
def test_known_borders(case):
    """Several patients, noise from a little to a lot. A black shutter on black air can't be seen to the pixel."""
    how, sides = CASES[case]
    least = 0.95 if case == "shutter" else 0.975 if case == "thin" else 0.99
    for seed in range(4):
        phantom = xray_phantom(*SIZE, seed=seed, collimated=how)
        found = fp.collimation_mask(phantom.image)
        assert found.sides == sides and found.ok and found.why == ""
        assert overlap(found.mask.array, phantom.field.array) > least
        assert found.fraction == pytest.approx(np.mean(found.mask.array))
        assert found.mask.grid is phantom.image.grid and found.mask.kind == "label"


def test_nothing_there():
    """The air beside the neck and the flanks is no border."""
    for seed in range(12):
        found = fp.collimation_mask(xray_phantom(*SIZE, seed=seed).image)
        assert not found.ok and found.sides == () and found.fraction == 1.0 and found.mask.array.all()
        assert found.why == "no straight border with flat ground beyond it on any side"
        assert found.to_dict()["corners"] == [[-0.5, -0.5], [-0.5, 239.5], [255.5, 239.5], [255.5, -0.5]]


def test_corners():
    phantom = xray_phantom((250, 250), (1.4, 1.4), seed=1, collimated=Collimator(0.2, 0.1, 0.1, 0.3))
    truth = [(49.5, 24.5), (49.5, 174.5), (224.5, 174.5), (224.5, 24.5)]
    np.testing.assert_allclose(fp.collimation_mask(phantom.image).corners, truth, atol=1.0)


def test_statistics_without_the_border():
    """What it is for: the percentiles of the patient, with the border and without."""
    how = Collimator(0.2, 0.2, 0.2, 0.2)
    plain, phantom = xray_phantom(*SIZE, seed=2), xray_phantom(*SIZE, seed=2, collimated=how)
    truth = np.percentile(plain.image.array[phantom.field.array != 0], (1, 50, 99))
    with_it = np.abs(np.percentile(phantom.image.array, (1, 50, 99)) - truth)
    without = np.abs(fp.percentile(phantom.image, (1, 50, 99), mask=fp.collimation_mask(phantom.image).mask) - truth)
    assert with_it.max() > 1000 and without.max() < 60


def test_raw_counts():
    """Dense is dark there: what is beyond a blade is dark and noisy, and air is bright."""
    phantom = xray_phantom(*SIZE, seed=3, collimated=Collimator(0.1, 0.1, 0.1, 0.1))
    raw = 4095 - phantom.image.array
    assert overlap(fp.collimation_mask(raw, dense="dark").mask, phantom.field.array) > 0.99
    plain = 4095 - xray_phantom(*SIZE, seed=3).image.array
    assert not fp.collimation_mask(plain, dense="dark").ok


def test_larger_than_what_is_looked_at(xp):
    phantom = xray_phantom((700, 900), (0.5, 0.4), seed=4, collimated=Collimator(0.1, 0.1, 0.1, 0.1, rotation=4))
    given = xp.asarray(phantom.image.array.astype(np.float32))
    found = fp.collimation_mask(given)
    assert overlap(to_numpy(found.mask), phantom.field.array) > 0.99
    assert_same(found.mask, to_numpy(found.mask), given, tolerance=0)


def test_backends(backend, put):
    how = Collimator(0.15, 0.1, 0.1, 0.12, rotation=2)
    x = xray_phantom((300, 280), (1.2, 1.3), seed=5, collimated=how).image.array
    found, truth = fp.collimation_mask(put(x)), fp.collimation_mask(x)
    assert found.sides == truth.sides == ALL
    assert overlap(to_numpy(found.mask), truth.mask) > 0.999


def test_rescaled_images():
    phantom = xray_phantom(*SIZE, seed=6, collimated=Collimator(left=0.1))
    image = fp.Image(4095 - phantom.image.array, phantom.image.grid, rescale=fp.Ramp(-1.0, 4095.0))
    assert overlap(fp.collimation_mask(image).mask.array, phantom.field.array) > 0.99


@pytest.mark.parametrize(
    ("x", "why"),
    [
        (np.full((64, 64), 7, np.uint16), "the image is constant"),
        (np.zeros((1, 1), np.uint16), "the image is constant"),
        (np.arange(20, dtype=np.uint16).reshape(4, 5), "the image has fewer than 24 pixels along a side"),
        (np.random.default_rng(0).random((64, 64), np.float32), "no straight border"),
    ],
)
def test_images_with_nothing_to_find(backend, put, x, why):
    found = fp.collimation_mask(put(x))
    assert not found.ok and found.why.startswith(why) and to_numpy(found.mask).all()


def test_bad_input(backend, put):
    with pytest.raises(ShapeError, match=r"x of shape \(2, 30, 30\): expected one radiograph"):
        fp.collimation_mask(put(np.zeros((2, 30, 30), np.uint16)))
    with pytest.raises(NonFiniteError, match="x holds 2 values that are NaN or infinite"):
        fp.collimation_mask(put(np.array([[np.nan, np.inf], [0, 1]], np.float32)))
    with pytest.raises(ArgumentError, match="dense='grey': expected 'bright' or 'dark'"):
        fp.collimation_mask(put(np.zeros((30, 30), np.uint16)), dense="grey")


@pytest.mark.skipif("FASTPREP_TEST_DATA" not in os.environ, reason="FASTPREP_TEST_DATA is not set")
@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize(("name", "sides"), [("chest_monochrome1.dcm", {"right", "top"}), ("chest_8bit.png", {"left"})])
def test_real_radiographs(name, sides):
    """Narrow bright strips along the edges, and air beside the neck that is none."""
    image = fp.load(Path(os.environ["FASTPREP_TEST_DATA"]) / "xray" / name)
    found = fp.collimation_mask(image)
    assert set(found.sides) == sides and 0.95 < found.fraction < 0.99
    outside = np.asarray(image.array)[~found.mask.array]
    assert np.median(outside) > np.percentile(image.array, 75)


def test_phantom_of_the_field():
    """The known field is that of the blades, and the patient inside it that of the phantom without them."""
    how = Collimator(0.1, 0.2, 0.3, 0.1)
    plain, phantom = xray_phantom(*SIZE, seed=7), xray_phantom(*SIZE, seed=7, collimated=how)
    field = phantom.field.array != 0
    assert field.mean() == pytest.approx(0.7 * 0.6, abs=0.01) and plain.field.array.all()
    deep = np.zeros_like(field)
    deep[40:190, 90:200] = True
    assert (field | ~deep).all()
    np.testing.assert_array_equal(phantom.image.array[deep], plain.image.array[deep])
    assert dice(phantom.lungs.array, plain.lungs.array) == 1.0
