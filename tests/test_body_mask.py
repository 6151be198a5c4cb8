from __future__ import annotations

import numpy as np
import pytest
import scipy.ndimage as ndi

import fastprep as fp
from balls import ball
from fastprep import Image, registry
from fastprep.core.errors import ArgumentError, ShapeError
from fastprep.core.ramp import Ramp
from fastprep.ops._arrays import view_of
from fastprep.testing.assertions import assert_same
from fastprep.testing.phantoms import CHEST, chest_ct, labels_on, patient_grid
from layouts import same_error
from torsos import SPACING, torso

_TABLE = next(i for i, part in enumerate(CHEST) if part.name == "table")


def truth(hu, spacing, threshold=-500, radius=2.5):
    """By SciPy, slice by slice where the steps are."""
    wide = np.stack([ndi.binary_opening(p, ball(radius, spacing[1:])) for p in np.asarray(hu, np.float64) > threshold])
    labels, count = ndi.label(wide, np.ones((3, 3, 3)))
    if not count:
        return wide
    largest = labels == 1 + np.argmax(np.bincount(labels.ravel())[1:])
    return np.stack([ndi.binary_fill_holes(p) for p in largest])


def test_equals_scipy(backend, put):
    hu, spacing = torso((0, 1), bronchi=True)[::3, ::2], (18.0, 9.0, 5.0)
    for threshold, radius in ((-500, 2.5), (-300, 9.0), (-500, 0)):
        result = fp.body_mask(put(hu), spacing, threshold=threshold, opening_mm=radius)
        assert_same(result, truth(hu, spacing, threshold, radius), put(hu), tolerance=0)


@pytest.mark.parametrize("dtype", ["int16", "int32", "float32", "float64"])
def test_dtypes(dtype):
    hu = torso()
    np.testing.assert_array_equal(fp.body_mask(hu.astype(dtype), SPACING), truth(hu, SPACING))


def test_the_phantom():
    """Everything within the skin, and nothing of the table."""
    ct = chest_ct()
    parts = labels_on(ct.grid).array
    body = fp.body_mask(ct)
    assert body.kind == "label" and body.grid is ct.grid
    inside = ndi.binary_fill_holes((parts > _TABLE)[0])[None] | (parts > _TABLE)
    np.testing.assert_array_equal(body.array, inside)
    assert (parts == _TABLE).any()


def test_padding_and_a_tube():
    """Beyond the circle of reconstruction is nothing, and what touches the skin is cut off."""
    hu = torso()
    _, y, x = np.indices(hu.shape)
    beyond = (x - 35.5) ** 2 / 36**2 + (y - 25.5) ** 2 / 26**2 > 1
    for padding in (-2000, -3024):
        padded = np.where(beyond & (hu < -500), padding, hu).astype(np.int16)
        np.testing.assert_array_equal(fp.body_mask(padded, SPACING), fp.body_mask(hu, SPACING))
    fine = np.repeat(np.repeat(hu[18:22], 2, axis=1), 3, axis=2)
    tube, skin = fine.copy(), int(np.flatnonzero((fine > -500).any(axis=(0, 2)))[0])
    tube[:, : skin + 2, 100:102] = 100
    body = fp.body_mask(tube, (6, 2, 2), opening_mm=4)
    # But for the corners at its foot, which a disc does not reach.
    assert not body[:, : skin - 1].any()
    np.testing.assert_array_equal(body[:, skin:], fp.body_mask(fine, (6, 2, 2), opening_mm=4)[:, skin:])


def test_any_orientation_and_stored_units(backend, put):
    hu = torso()[::4, ::3, ::3]
    grid = patient_grid(hu.shape, (24.0, 13.5, 15.0), axes="SPL")
    expected = truth(hu, grid.spacing)
    for codes in ("SPL", "LIA", "RSP"):
        image = fp.reorient(Image(hu, grid, modality="CT"), codes)
        turned = fp.body_mask(Image(put(image.array), image.grid, modality="CT"))
        want = fp.reorient(Image(expected, grid, kind="label"), codes).array
        assert_same(turned.array, want, put(image.array), tolerance=0)
    stored = Image(put((hu.clip(-1024) + 1024).astype(np.uint16)), grid, modality="CT", rescale=Ramp(1, -1024))
    assert_same(fp.body_mask(stored).array, expected, stored.array, tolerance=0)


def test_more_air_around_changes_nothing():
    hu = torso((0, 1), bronchi=True)[:, 6:40, 4:-4]
    assert (hu[:, 0] > -500).any()
    padded = np.pad(hu, 7, constant_values=-1000)
    body = fp.body_mask(hu, SPACING, opening_mm=12)
    assert body[:, 0].any()
    np.testing.assert_array_equal(fp.body_mask(padded, SPACING, opening_mm=12)[7:-7, 7:-7, 7:-7], body)


def test_nan_is_outside_and_air_alone_has_no_body(backend, put):
    hu = torso()[::8, ::4, ::4].astype(np.float32)
    holes = hu.copy()
    holes[hu < -500] = np.nan
    holes[0, 0, 0] = -1000
    assert_same(fp.body_mask(put(holes), (48, 18, 20)), truth(hu, (48, 18, 20)), put(hu), tolerance=0)
    air = np.full((3, 8, 9), -1000, np.int16)
    air[0, 0, 0] = -990
    assert_same(fp.body_mask(put(air), (1, 1, 1)), np.zeros(air.shape, bool), put(air), tolerance=0)


def test_libraries(xp):
    hu = torso()[::8, ::4, ::4]
    given = xp.asarray(hu)
    assert_same(fp.body_mask(given, (48, 18, 20)), truth(hu, (48, 18, 20)), given, tolerance=0)


def test_errors(backend, put):
    hu = put(torso()[::8, ::4, ::4])
    same_error(lambda: fp.body_mask(hu), ArgumentError, "spacing is missing")
    same_error(lambda: fp.body_mask(hu, (1, 1, 1), opening_mm=-1), ArgumentError, "opening_mm=-1")
    unit = put(np.linspace(0, 1, 60, dtype=np.float32).reshape(3, 4, 5))
    same_error(lambda: fp.body_mask(unit, (1, 1, 1)), ArgumentError, "look normalised")
    stored = put(np.arange(0, 3000, 50, dtype=np.int16).reshape(3, 4, 5))
    same_error(lambda: fp.body_mask(stored, (1, 1, 1)), ArgumentError, "none below 0")
    same_error(lambda: fp.body_mask(put(np.zeros((2, 3, 4, 5))), (1, 1, 1)), ShapeError, "one volume")


def test_reference_is_cpu():
    ct = chest_ct((16, 32, 32), (16, 11, 11))
    with registry.backend("reference"):
        there = fp.body_mask(ct)
    np.testing.assert_array_equal(view_of(there.array), fp.body_mask(ct).array)
