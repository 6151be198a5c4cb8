"""Artifact severity: it follows the artifact, not the metal, the noise, the bone, the padding or the axes."""

from __future__ import annotations

import json
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
import scipy.ndimage as ndi

import fastprep as fp
from fastprep.core import artifact as core
from fastprep.core.artifact import SEVERITIES, Artifact, Definition
from fastprep.core.ramp import Ramp
from fastprep.ops._artifact import artifact_of
from fastprep.testing import Implant, metal_phantom, metal_phantom_on, patient_grid

GRID = ((48, 104, 112), (3.8, 3.6, 3.5))
FIGURES = ("index", "shadow", "streak", "spread", "ray")


@pytest.fixture(scope="module")
def chest():
    return metal_phantom(*GRID)


@pytest.fixture(scope="module")
def usual(chest):
    return fp.detect_metal(chest.scan).artifact


@pytest.mark.parametrize("body", ["chest", "hip"])
def test_follows_the_strength(body):
    """From none to severe with the strength of the phantom; metal without artifact is minimal."""
    found = [fp.detect_metal(metal_phantom(*GRID, body=body, strength=s).scan).artifact for s in (0, 0.5, 1, 2, 4)]
    indices = [one.index for one in found]
    assert all(a < b for a, b in pairwise(indices)), indices
    words = [SEVERITIES.index(one.severity) for one in found]
    assert words == sorted(words) and found[0].severity == "minimal" and found[-1].severity == "severe"
    assert found[2].severity in ("mild", "moderate")
    for figure in ("shadow", "ray"):
        assert getattr(found[-1], figure) > 5 * getattr(found[1], figure) - 1, figure
    for one in found:
        assert all(getattr(one, name) >= 0 for name in FIGURES)
        assert one.index == max(each.index for each in one.implants)


def test_without_metal_nothing_is_looked_at(monkeypatch):
    report = fp.detect_metal(metal_phantom(*GRID, implants=0).scan)
    monkeypatch.setattr(type(report), "body", property(lambda _: pytest.fail("the body was looked for")))
    assert report.severity == "none" and report.artifact == Artifact()


def test_metal_alone_changes_little(chest, usual):
    """Twice the metal, of the same artifact, is no worse; blurred borders are no artifact."""
    quiet = metal_phantom(*GRID, strength=0, hu=8000, saturate=False)
    blurred = quiet.clean.with_array(ndi.gaussian_filter(quiet.clean.array.astype(np.float32), 0.7))
    report = fp.detect_metal(blurred, threshold=2000)
    assert report.count >= 3 and report.severity == "minimal"
    single = fp.detect_metal(metal_phantom(*GRID, implants=4).scan).artifact
    large = [replace(one, radius=one.radius * 1.5) for one in chest.implants[3:]]
    for implants in (large, chest.implants[3:]):
        one = fp.detect_metal(metal_phantom(*GRID, implants=implants, strength=0).scan)
        assert one.severity == "minimal" and one.artifact.index < 0.4 * single.index


def test_bone_taken_for_metal_is_minimal(data):
    """A clean scan whose densest bone is called metal has no artifact to tell."""
    ct = fp.load(data / "ct" / "chest_normal001")
    report = fp.detect_metal(ct, threshold=1400)
    words = [one.severity for one in report.artifact.implants]
    assert len(words) == report.count == 5 and words.count("minimal") >= 4 and report.artifact.index < 20
    assert fp.detect_metal(ct).severity == "none"


def test_padding_and_field_of_view_do_not_matter(chest, usual):
    wide = fp.detect_metal(metal_phantom(*GRID, margin=6).scan).artifact
    assert wide == usual
    narrow = chest.scan.array[:, 10:-10, 12:-12]
    assert fp.detect_metal(narrow, chest.scan.spacing).artifact == usual


@pytest.mark.parametrize("axcodes", ["IPL", "PSL", "RAS", "LIA"])
def test_axes_do_not_matter(axcodes, chest, usual):
    """The same scan stored another way: the same slices, and rays that differ by the rounding of their ends."""
    report = fp.detect_metal(fp.reorient(chest.scan, axcodes))
    assert axcodes[report.axial_axis] in "SI" and report.severity == usual.severity
    for name in FIGURES:
        assert getattr(report.artifact, name) == pytest.approx(getattr(usual, name), rel=0.01), name


def test_oblique(usual):
    turned = fp.detect_metal(metal_phantom_on(patient_grid(*GRID, turn=(5, -6, 8))).scan)
    assert turned.artifact.index == pytest.approx(usual.index, rel=0.4)


@pytest.mark.parametrize("form", ["float32", ">i2", "stored", "strided"])
def test_types_and_units_do_not_matter(form, chest, usual):
    x, spacing = chest.scan.array, chest.scan.spacing
    if form == "stored":
        stored = chest.scan.with_array((x.astype(np.int32) * 2 + 2048).astype(np.int16))
        assert fp.detect_metal(replace(stored, rescale=Ramp(0.5, -1024.0))).artifact == usual
        return
    other = np.repeat(x, 2, axis=2)[:, :, ::2] if form == "strided" else x.astype(form)
    assert fp.detect_metal(other, spacing).artifact == usual


def test_same_bits_on_every_backend(backend, put):
    """Boxes are measured on the host: what the device adds is where metal and body are."""
    small = metal_phantom((16, 36, 40), (11, 10, 9.5), body="hip")
    expected = fp.detect_metal(small.scan).artifact
    assert expected.implants
    assert fp.detect_metal(put(small.scan.array), small.scan.spacing).artifact == expected


def test_figures_by_hand():
    """A cube of metal in tissue with dark sheets through the scan, 100 HU darker around the metal in its slices."""
    hu = np.full((60, 60, 60), 40.0)
    hu[:, :, ::7] -= 90
    hu[:, :, :4] = -1000
    metal = np.zeros(hu.shape, bool)
    metal[28:32, 28:32, 28:32] = True
    hu[28:32, 20:40, 20:40] -= 100
    hu[metal] = 3500
    (one,) = fp.detect_metal(hu, (2.0, 2.0, 2.0)).artifact.implants
    distance = ndi.distance_transform_edt(~metal, sampling=2.0)
    shell = (distance > 2) & (distance <= 20)
    shell[:28], shell[32:] = False, False
    # Slices more than 20 mm from those with metal, the nearest 40 mm of them.
    reference = hu[[*range(8, 18), *range(42, 52)]][:, (distance <= 20).any(axis=0)]
    low, high = reference.mean() - 2 * reference.std(), reference.mean() + 2 * reference.std()

    def mean(excess: np.ndarray) -> float:
        return np.maximum(excess, 0).mean()

    assert one.reference == "along the body" and mean(low - reference) > 1
    assert one.tissue_ml == pytest.approx(shell.sum() * 0.008)
    assert one.shadow == pytest.approx(mean(low - hu[shell]) - mean(low - reference))
    assert one.streak == 0 == mean(hu[shell] - high)
    assert one.spread == pytest.approx(np.sqrt(hu[shell].var() - reference.var()))
    assert one.index == pytest.approx(np.hypot(one.shadow, one.ray))


def test_without_slices_free_of_metal(chest):
    """A rod as long as the scan is compared with tissue far from it, in its slices."""
    rod = Implant("rod", "rod", (0, -36, 0), 5, 400)
    found = [fp.detect_metal(metal_phantom(*GRID, implants=(rod,), strength=s).scan).artifact for s in (0, 1, 3)]
    assert [one.implants[0].reference for one in found] == ["far from metal"] * 3
    assert found[0].severity == "minimal" and found[0].index < found[1].index < found[2].index
    assert found[2].severity in ("moderate", "severe")


def test_nothing_to_compare_with():
    """Metal in a box of tissue that is too small for a reference, metal alone, and metal outside the body."""
    small = np.full((4, 24, 24), 40, np.int16)
    small[1:3, 10:14, 10:14] = 3500
    for hu in (small, np.full((6, 6, 6), 4000, np.int16)):
        report = fp.detect_metal(hu, (2, 2, 2))
        (one,) = report.artifact.implants
        assert one.reference == "none" and report.severity == "minimal"
        assert report.artifact.notes == ("1 of 1 implants have no tissue without artifact to compare with",)
    scan = np.full((20, 40, 40), -1000, np.int16)
    scan[:, 10:, :] = 40
    scan[8:12, 2:4, 2:4] = 3500
    report = fp.detect_metal(scan, (3, 3, 3))
    assert report.severity == "minimal" and report.artifact.implants[0].tissue_ml == 0


def test_nan_is_no_tissue(chest, usual):
    hu = chest.scan.array.astype(np.float32)
    hu[:, :5] = np.nan
    assert fp.detect_metal(hu, chest.scan.spacing).artifact.index == pytest.approx(usual.index, rel=0.01)


def test_the_largest_are_looked_at(chest):
    report = fp.detect_metal(chest.scan)
    found = artifact_of(report, Definition(most=2, thresholds=(1e3, 2e3, 3e3)))
    volumes = report.regions.volume_mm3
    assert {volumes[one.label - 1] for one in found.implants} == set(np.sort(volumes)[-2:])
    assert found.severity == "minimal"
    assert found.notes == ("artifacts are those around the 2 largest of 4 implants",)


def test_plain_form(usual):
    form = usual.to_dict()
    assert json.loads(json.dumps(form)) == form
    assert form["severity"] == usual.severity and len(form["implants"]) == 4
    assert form["definition"]["thresholds"] == [15.0, 25.0, 60.0]


def test_rays_on_a_plane():
    """Stripes along rays, of known amplitude: the root mean square of a wave less its neighbours' mean."""
    n, rays, waves, amplitude = 161, 96, 12, 50.0
    y, x = np.mgrid[:n, :n] - n // 2
    part = np.hypot(y, x) < 6
    plane = amplitude * np.sin(waves * np.arctan2(y, x))
    fan = core.fan_of(part, (1.0, 1.0), rays, 2.0, 40.0)
    assert fan.middle == (80.0, 80.0) and set(fan.seen.sum(axis=1)) <= {39, 40, 41}
    square, count = core.mean_square(core.ray_differences(plane, ~part, fan, 10))
    expected = amplitude / np.sqrt(2) * (1 - np.cos(2 * np.pi * waves / rays))
    # Interpolation takes a little of the wave.
    assert count == rays and np.sqrt(square) == pytest.approx(expected, rel=0.04)
    assert core.mean_square(core.ray_differences(plane * 0 + 7, ~part, fan, 10))[0] < 1e-20
    assert core.mean_square(core.ray_differences(plane, part, fan, 10)) == (0, 0)


def test_soft_range():
    values = np.array([-1000.0, 20.0, 60.0, 1500.0])
    assert core.soft_range(values) == (0.0, 80.0)
    assert core.soft_range(values[:1]) == (-100.0, 140.0)
    assert core.deviations(np.zeros(0), 0, 1) == (0.0, 0.0) and core.variance(np.zeros(0)) == 0
    assert core.deviations(np.array([-30.0, 30.0, 5000.0]), 0.0, 20.0) == (10.0, (10 + 1980) / 3)
    assert core.variance(np.array([-30.0, 30.0, 5000.0])) == np.var([-30.0, 30.0, 450.0])
    levels = [2.0, 2.0, 2.0, 6.0]
    assert core.upper([2.0, 6.0], [3, 1]) == pytest.approx(np.mean(levels) + np.std(levels))
    assert core.upper([], []) == core.upper([5.0], [0]) == 0
