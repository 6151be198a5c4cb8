"""``detect_metal``: phantoms of known volume, SciPy voxel for voxel, and scans that are not what they should be."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
import scipy.ndimage as ndi
from hypothesis import example, given, settings
from hypothesis import strategies as st

import fastprep as fp
from fastprep import Grid, Image
from fastprep.core import metal
from fastprep.core.errors import ArgumentError, DTypeError, GeometryError, NonFiniteError, ShapeError
from fastprep.core.ramp import Ramp
from fastprep.ops._hu import check_hu
from fastprep.testing import chest_ct
from fastprep.testing.assertions import assert_same, to_numpy
from fastprep.testing.phantoms import METAL_CENTER, METAL_RADIUS, METAL_VOLUME_ML, chest_ct_on, patient_grid
from layouts import check_layouts, same_error

SPACING = (2.0, 0.75, 0.5)


def scan(shape=(12, 20, 45), seed=0):
    """Noise that is smooth enough for parts of many sizes, to 5000 HU, in air."""
    x = ndi.gaussian_filter(np.random.default_rng(seed).standard_normal(shape), 1.2)
    x = 700 + 1800 * x / x.std()
    x[:, -3:] = -1000
    return np.rint(x).clip(-1024, 5000).astype(np.int16)


def truth(x, threshold, least=10.0, connectivity=3, spacing=SPACING):
    """Labels of what is kept, renumbered in SciPy's order; how many are dropped."""
    labels, count = ndi.label(x > threshold, ndi.generate_binary_structure(3, connectivity))
    keep = np.bincount(labels.ravel(), minlength=count + 1) * math.prod(spacing) >= least
    keep[0] = False
    number = np.cumsum(keep) * keep
    return number[labels], count - int(keep.sum())


def check(report, x, threshold, least=10.0, connectivity=3, spacing=SPACING):
    labels, dropped = truth(x, threshold, least, connectivity, spacing)
    index = np.arange(1, labels.max() + 1)
    assert (report.count, report.dropped) == (len(index), dropped)
    found = report.regions
    np.testing.assert_array_equal(to_numpy(report.labels), labels)
    np.testing.assert_array_equal(to_numpy(report.mask), labels > 0)
    np.testing.assert_array_equal(found.voxels, np.bincount(labels.ravel())[1:])
    np.testing.assert_array_equal(found.centroid, ndi.center_of_mass(labels > 0, labels, index))
    # Floats are summed in millionths of a HU.
    off = 0 if x.dtype.kind == "i" else 2.0**-21
    np.testing.assert_allclose(found.mean, ndi.mean(x.astype(np.float64), labels, index), rtol=1e-15, atol=off)
    np.testing.assert_array_equal(found.maximum, ndi.maximum(x, labels, index))
    assert report.volume_mm3 == pytest.approx((labels > 0).sum() * math.prod(spacing))
    every = ndi.label(x > threshold, ndi.generate_binary_structure(3, connectivity))[0]
    assert report.dropped_mm3 == pytest.approx(((every > 0) & (labels == 0)).sum() * math.prod(spacing))


@pytest.mark.parametrize("connectivity", [6, 18, 26])
def test_implants_are_those_of_scipy(backend, put, connectivity):
    x = scan()
    for threshold, least in ((2000, 10.0), (3000.5, 0.0), (2200, 40.0)):
        how = {"threshold": threshold, "min_volume_mm3": least, "connectivity": connectivity}
        reach = {6: 1, 18: 2, 26: 3}[connectivity]
        check(fp.detect_metal(put(x), SPACING, **how), x, threshold, least, reach)
        assert truth(x, threshold, least, reach)[0].max() > 1
    assert fp.detect_metal(put(x), SPACING, connectivity=reach).connectivity == connectivity


@pytest.mark.parametrize("dtype", ["int32", "float16", "float32", "float64"])
def test_every_type(backend, put, dtype):
    x = scan().astype(dtype)
    if x.dtype.kind == "f":
        x += np.random.default_rng(0).random(x.shape).astype(dtype)
        x[:2, ::3, ::4] = np.nan
    check(fp.detect_metal(put(x), SPACING, threshold=2000.25), x, 2000.25)


def test_every_layout(backend, put):
    x = scan()
    labels, _ = truth(x, 2500)
    check_layouts(lambda x: fp.detect_metal(x, SPACING, threshold=2500).mask, labels > 0, x, put, backend, tolerance=0)


def test_libraries(xp):
    x = scan()
    given_ = xp.asarray(x)
    report = fp.detect_metal(given_, SPACING)
    labels, _ = truth(x, 3000)
    assert_same(report.mask, labels > 0, given_, tolerance=0)
    assert_same(report.labels, labels.astype(np.int32), given_, tolerance=0)


def test_the_volume_of_a_phantom(backend, put):
    """Within a layer of voxels of the sphere's, on grids of any orientation, where it is."""
    for turn in ((0, 0, 0), (20, -10, 15)):
        ct = chest_ct_on(patient_grid((24, 64, 80), (4.0, 2.6, 2.4), turn=turn), metal=True)
        report = fp.detect_metal(ct.with_array(put(ct.array)))
        assert report.count == 1 and report.saturated and report.dropped == 0
        low, high = ((METAL_RADIUS + d) ** 3 / METAL_RADIUS**3 * METAL_VOLUME_ML * 1000 for d in (-1, 1))
        assert low < report.volume_mm3 < high
        assert report.volume_mm3 == pytest.approx(METAL_VOLUME_ML * 1000, rel=0.08)
        assert math.dist(report.regions.centroid_world[0], METAL_CENTER) < 0.5
        assert report.regions[0].saturated == 1 and report.regions[0].maximum == 3071
        assert not report.regions.touches_border.any()
        assert report.mask.kind == "label" and report.mask.grid is ct.grid
        assert to_numpy(report.mask.array).sum() == report.regions.voxels[0]


def test_a_scan_without_metal(backend, put, monkeypatch):
    """Defined, and nothing is looked at twice."""
    monkeypatch.setattr("fastprep.ops._artifact.artifact_of", None)
    ct = chest_ct((16, 32, 32), (16, 11, 11))
    report = fp.detect_metal(put(ct.array), (16, 11, 11))
    assert (report.count, report.volume_mm3, report.severity, report.saturated) == (0, 0.0, "none", False)
    assert list(report.regions) == [] and not to_numpy(report.mask).any() and report.notes == ()
    form = report.to_dict(artifact=False)
    assert json.loads(json.dumps(form))["regions"] == []


@pytest.mark.parametrize("name", ["chest_p001", "chest_normal001"])
def test_real_chests_hold_no_metal(data, name):
    ct = fp.load(data / "ct" / name)
    report = fp.detect_metal(ct)
    assert (report.count, report.severity) == (0, "none")
    x = ct.array[40:60]
    check(fp.detect_metal(x, ct.spacing, threshold=300), x, 300, spacing=ct.spacing)


def test_the_report_as_json():
    """With what the artifact and the body add."""
    ct = chest_ct((32, 64, 64), (8, 5.5, 5.5), metal=True)
    report = fp.detect_metal(ct)
    form = json.loads(json.dumps(report.to_dict(), allow_nan=False))
    assert form["severity"] == report.severity != "none" and form["artifact"]["severity"] == report.severity
    assert form["regions"][0]["volume_mm3"] == report.volume_mm3 == form["volume_mm3"]
    assert form["regions"][0]["centroid_world"] == report.regions.centroid_world[0].tolist()
    assert 0 < form["body_fraction"] < 1e-3 and form["body_volume_mm3"] > 5e6
    assert form["requested"] == 3000 and form["spacing"] == [8, 5.5, 5.5]


def with_implant(values, shape=(8, 20, 24)):
    """Tissue and air with a row of metal."""
    x = np.full(shape, 40.0)
    x[:, :, -4:] = -1000
    x[4, 10, 4 : 4 + len(values)] = values
    return x


def test_a_scanner_of_12_bits(backend, put):
    x = with_implant([2000, 3000, 3071, 3071, 3050, 3071]).astype(np.int16)
    for threshold in (3071, 3500, 4000, 1e6):
        report = fp.detect_metal(put(x), (5, 1, 1), threshold=threshold, min_volume_mm3=0)
        np.testing.assert_array_equal(to_numpy(report.mask), x == 3071)
        assert (report.threshold, report.requested, report.saturated) == (3071, threshold, True)
        assert report.notes[0].startswith(f"threshold {threshold:g} taken for 3071 or more")
        assert "lower bound" in report.notes[1] and report.limit < 3071
    report = fp.detect_metal(put(x), (5, 1, 1), threshold=2500)
    assert report.saturated and report.threshold == report.limit == 2500 and len(report.notes) == 1
    assert report.regions[0].voxels == 5 and report.regions[0].saturated == 3 / 5
    # Resampled, the end of the scale is a float near it.
    floats = (x + np.where(x == 3071, -3e-3, 0)).astype(np.float32)
    report = fp.detect_metal(put(floats), (5, 1, 1), threshold=3500, min_volume_mm3=0)
    assert report.saturated and report.regions.voxels.tolist() == [2, 1]


def test_scanners_that_do_not_saturate(backend, put):
    for values, threshold, voxels in (
        ([3000, 3071, 3070, 3200], 3100, 1),  # values beyond
        ([3000, 3071, 3071, 3071, 3500], 3071, 1),
        ([3000, 3071, 3070, 3060], 3071, 0),  # one voxel is a coincidence
        ([3000, 3060, 3060, 3060], 3071, 0),
        ([3000, 3060, 3060, 3060], 3050, 3),
    ):
        x = with_implant(values).astype(np.int16)
        report = fp.detect_metal(put(x), (5, 1, 1), threshold=threshold, min_volume_mm3=0)
        assert (report.saturated, report.threshold, report.notes) == (False, threshold, ())
        assert report.regions.voxels.sum() == voxels
    x = with_implant([3095] * 4).astype(np.int16)
    assert fp.detect_metal(put(x), (5, 1, 1), threshold=4000).count == 0
    assert fp.detect_metal(put(x), (5, 1, 1), threshold=4000, ceiling=3095).count == 1


def test_the_least_volume_is_kept(backend, put):
    x = with_implant([3500, 3500, 40, 3500]).astype(np.int16)
    report = fp.detect_metal(put(x), (5, 1, 1), min_volume_mm3=10)
    assert (report.count, report.volume_mm3, report.dropped, report.dropped_mm3) == (1, 10, 1, 5)


def test_stored_numbers(backend, put):
    """The threshold goes to them, and what is told comes back in HU."""
    x = scan()
    grid = Grid.from_spacing(x.shape, SPACING)
    for units in (Ramp(1, -1024), Ramp(0.25, -1024.3)):
        stored = Image(put(np.rint((x - units.b) / units.a).astype(np.int32)), grid, rescale=units)
        hu = units.a * to_numpy(stored.array) + units.b
        report = fp.detect_metal(stored, threshold=2500)
        check_image(report, hu, 2500)
        assert report.mask.rescale.is_identity
    for units in (Ramp(-1, 31), Ramp(1, -1024, -1024, 4000)):  # no order, and an end: converted
        stored = Image(put((x if units.a > 0 else 31 - x).astype(np.int16)), grid, rescale=units)
        check_image(fp.detect_metal(stored, threshold=2500), units(to_numpy(stored.array)), 2500)


def check_image(report, hu, threshold):
    labels, _ = truth(hu, threshold)
    np.testing.assert_array_equal(to_numpy(report.labels.array), labels)
    index = np.arange(1, labels.max() + 1)
    np.testing.assert_allclose(report.regions.mean, ndi.mean(hu, labels, index), rtol=1e-6)
    np.testing.assert_allclose(report.regions.maximum, ndi.maximum(hu, labels, index), rtol=1e-7)


@settings(max_examples=25)
@given(
    st.one_of(st.sampled_from([0.1, 1 / 3, 1e-3]), st.floats(1e-3, 1e3)),
    st.floats(-5000, 5000),
    st.integers(-40000, 40000),
    st.sampled_from([0.0, 0.5, 1e-9, -1e-9]),
)
@example(0.1, 0.0, 43, 0.0)
def test_a_threshold_in_stored_numbers_is_exact(a, b, stored, off):
    units, near = Ramp(a, b), np.arange(stored - 2, stored + 3)
    hu = units.a * near + units.b
    threshold = float(hu[2] + off)
    np.testing.assert_array_equal(near > metal.last_up_to(units, threshold), hu > threshold)
    np.testing.assert_array_equal(near > metal.last_below(units, threshold), hu >= threshold)
    assert metal.last_up_to(Ramp(), threshold) == threshold


def test_the_adaptive_threshold(backend, put):
    rng = np.random.default_rng(0)
    x = rng.normal(40, 20, (16, 24, 30))
    x[:4] = -1000
    x[8:10, 4:20] = rng.exponential(250, (2, 16, 30)) + 300  # bone: ever fewer towards 2000 HU
    implant = np.zeros(x.shape, bool)
    implant[11:14, 8:20, 10:20] = True
    x = np.where(implant, rng.normal(5000, 300, x.shape), x)
    for given_ in (x.astype(np.int16), x.astype(np.float32)):
        report = fp.detect_metal(put(given_), (1, 1, 1), threshold="adaptive")
        assert 2000 < report.threshold < 4000 and report.requested == "adaptive" and report.notes == ()
        assert report.count == 1 and report.volume_mm3 == pytest.approx(implant.sum(), rel=0.01)
    odd = x.astype(np.float32)
    odd[0, 0, 0] = np.nan
    assert fp.detect_metal(put(odd), (1, 1, 1), threshold="adaptive").threshold == report.threshold
    stored = Image(put((x + 1024).astype(np.uint16)), Grid.from_spacing(x.shape, (1, 1, 1)), rescale=Ramp(1, -1024))
    assert 2000 < fp.detect_metal(stored, threshold="adaptive").threshold < 4000
    x[implant] = 1200
    for given_ in (x.astype(np.int16), x.astype(np.float32), np.minimum(x, -100).astype(np.float32)):
        report = fp.detect_metal(put(given_), (1, 1, 1), threshold="adaptive")
        assert report.threshold == 3000 and "no mode of metal" in report.notes[0]


def test_valleys():
    def at(counts, least=1.0):
        return metal.valley(np.arange(0, 100 * len(counts), 100.0), np.array(counts, np.uint64), least)

    bone = [5000] * 15 + [1000, 500, 100, 40, 10, 4]
    assert at(bone + [0] * 30) is None and at([9] * 10) is None
    # The middle of what is empty.
    assert 2300 <= at([*bone, *[0] * 7, 0, 500, 900]) <= 2700
    # The first valley, not the deepest.
    assert at([*bone, 8, 20, 50, 80, 200, 300, 100, 0, 0, 0, 900]) < 2200
    # Dense bone ends before metal can begin.
    assert at([*bone[:18], 0, 0, 0, 600, 900, 400, 5, 0]) is None
    assert at([*bone, 0, 0, 0, 0, 0, 0, 2, 1]) is None
    assert at([*bone, 0, 0, 0, 0, 0, 0, 50, 50], least=200) is None


def test_only_metal_and_metal_at_the_border(backend, put):
    report = fp.detect_metal(put(np.full((3, 4, 5), 4000, np.int16)), (2, 2, 2))
    assert report.count == 1 and report.volume_mm3 == 480 and report.regions.touches_border.all()
    assert report.notes == ("1 of 1 touch the border: there may be more of them outside the scan",)
    one = fp.detect_metal(put(np.full((1, 1, 1), 3500, np.float32)), (3, 3, 3))
    assert one.count == 1 and one.regions[0].centroid == (0, 0, 0)


def test_a_body_of_nothing():
    report = fp.detect_metal(np.full((4, 5, 6), 4000, np.int16), (3, 3, 3))
    assert report.severity != "none" and json.dumps(report.to_dict(), allow_nan=False)


def test_axes():
    """The axial one is where the slices follow each other; volumes do not depend on how a scan lies in memory."""
    ct = chest_ct((32, 64, 64), (8, 5.5, 5.5), metal=True)
    whole = fp.detect_metal(ct)
    assert whole.axial_axis == 0 and fp.detect_metal(ct.array, ct.spacing).axial_axis == 0
    turned = fp.detect_metal(fp.reorient(ct, "LIA"))
    assert turned.axial_axis == 1 and turned.volume_mm3 == pytest.approx(whole.volume_mm3)
    np.testing.assert_allclose(turned.regions.centroid_world, whole.regions.centroid_world, atol=1e-6)


def test_what_is_no_hu(backend, put):
    x = scan()
    normalised = (x - x.min()) / np.ptp(x)
    grey = np.rint(255 * normalised).astype(np.uint8)
    zscored = ((x - x.mean()) / x.std()).astype(np.float32)

    def refused(x, match):
        same_error(lambda: fp.detect_metal(put(x), SPACING), ArgumentError, match)

    refused(normalised.astype(np.float32), "hu: values from 0 to 1: they look normalised; expected Hounsfield units")
    refused(zscored, "they look normalised")
    refused(grey, "hu: values from 0 to 255: they look like grey values of 8 bits")
    refused(x > 300, "hu of dtype bool: a mask")
    refused(x * 0, "hu: all values are 0; expected Hounsfield units")
    refused(np.full(x.shape, np.nan), "hu: no value is finite")
    # Stored numbers are found as they are, and refused where air is needed.
    stored = (x + 1024).astype(np.uint16)
    assert fp.detect_metal(put(stored), SPACING, threshold=4000).count
    with pytest.raises(ArgumentError, match="none below 0, so there is no air"):
        check_hu(stored, needs_air=True)
    check_hu(stored, Ramp(1, -1024), needs_air=True)
    check_hu(x, needs_air=True)


def test_a_sample_is_not_the_last_word():
    x = np.zeros((40, 300, 300), np.int16)
    x[3, 151, 7:11] = 3500
    assert fp.detect_metal(x, (3, 1, 1)).count == 1
    x[3, 151] = 0
    with pytest.raises(ArgumentError, match="all values are 0"):
        fp.detect_metal(x, (3, 1, 1))


def test_errors(backend, put):
    x = scan()
    bad = x.astype(np.float32)
    bad[1, 2, 3:6] = np.inf
    bad[5, 5, 5], bad[0, 0, 0] = np.nan, -np.inf
    same_error(lambda: fp.detect_metal(put(bad), SPACING), NonFiniteError, "hu holds 3 values that are infinite")
    same_error(lambda: fp.detect_metal(put(x)), ArgumentError, "spacing is missing")
    same_error(lambda: fp.detect_metal(put(x), (1, 1)), GeometryError, "spacing=")
    same_error(lambda: fp.detect_metal(put(x[0]), (1, 1)), ShapeError, r"hu of shape \(20, 45\): expected one volume")
    same_error(lambda: fp.detect_metal(put(x[None]), SPACING), ShapeError, r"hu of shape \(1, 12, 20, 45\)")
    same_error(lambda: fp.detect_metal(put(x[:0]), SPACING), ShapeError, r"hu of shape \(0, 20, 45\)")
    for how, match in (
        ({"connectivity": 7}, "connectivity=7: expected 6, 18 or 26"),
        ({"threshold": "otsu"}, "threshold='otsu': expected HU, or 'adaptive'"),
        ({"threshold": math.nan}, "threshold=nan"),
        ({"threshold": True}, "threshold=True"),
        ({"min_volume_mm3": -1}, "min_volume_mm3=-1"),
        ({"ceiling": math.inf}, "ceiling=inf"),
    ):
        same_error(lambda how=how: fp.detect_metal(put(x), SPACING, **how), ArgumentError, match)
    grid = Grid.from_spacing(x.shape, SPACING)
    for image, what in ((Image(put(x), grid, modality="MR"), "'MR'"), (Image(put(x), grid, kind="label"), "labels")):
        same_error(lambda image=image: fp.detect_metal(image), ArgumentError, f"{what}: expected a CT in HU")
    with pytest.raises(DTypeError, match="expected an array"):
        fp.detect_metal([[[1.0]]], SPACING)
