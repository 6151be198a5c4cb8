"""The picture of a metal report: whole or not there, upright, implants where they are, the same bytes each time."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

import fastprep as fp
from fastprep.core.errors import MissingExtraError, ShapeError, WriteError
from fastprep.core.ramp import Ramp
from fastprep.qc import _planes
from fastprep.qc.metal import metal_picture
from fastprep.testing import metal_phantom

pytest.importorskip("matplotlib")
pixels = pytest.importorskip("PIL.Image")

SMALL = ((24, 48, 52), (8.0, 7.5, 7.0))


@pytest.fixture(scope="module")
def hip():
    return metal_phantom(*SMALL, body="hip")


@pytest.fixture(scope="module")
def report(hip):
    return fp.detect_metal(hip.scan)


def orange(axes) -> np.ndarray:
    """Where a picture is marked."""
    return axes.images[1].get_array()[..., 3] > 0


def test_three_planes_a_projection_and_words(hip, report, tmp_path, drawn):
    path = tmp_path / "hip_metal.png"
    metal_picture(hip.scan, report, path, title="patient-07")
    with pixels.open(path) as image:
        image.load()
        assert image.format == "PNG" and min(image.size) > 800
    assert [p.name for p in tmp_path.iterdir()] == ["hip_metal.png"]
    *pictures, words = drawn[0].axes
    titles = [axes.get_title() for axes in pictures]
    assert titles == ["axial", "coronal", "sagittal", "coronal projection of maxima"]
    text = words.texts[0].get_text()
    for part in ("3000 HU", f"{report.volume_mm3:.0f} mm3", report.severity, "shadow", "saturated"):
        assert part in text
    # Stored (S, P, L): the axial plane lies as it is, the others with the head up.
    k, j, i = (round(float(c)) for c in report.regions.centroid[int(np.argmax(report.regions.voxels))])
    marks = hip.labels.array > 0
    np.testing.assert_array_equal(orange(pictures[0]), marks[k])
    np.testing.assert_array_equal(orange(pictures[1]), marks[::-1, j])
    np.testing.assert_array_equal(orange(pictures[2]), marks[::-1, :, i])
    np.testing.assert_array_equal(orange(pictures[3]), marks.max(axis=1)[::-1])
    np.testing.assert_array_equal(pictures[3].images[0].get_array(), hip.scan.array.max(axis=1)[::-1])
    assert pictures[0].get_aspect() == pytest.approx(7.5 / 7) and pictures[1].get_aspect() == pytest.approx(8 / 7)
    # Each number stands where its implant is.
    shown = {int(note.get_text()): note.xy for note in pictures[3].texts}
    assert set(shown) == set(report.regions.label.tolist())
    for label, (across, down) in shown.items():
        z, _, x = report.regions.centroid[label - 1]
        assert (across, down) == pytest.approx((x, marks.shape[0] - 1 - z))


@pytest.mark.parametrize("axcodes", ["IPL", "LAS", "ASR"])
def test_the_same_picture_whatever_the_axes(axcodes, tmp_path):
    usual = metal_phantom(*SMALL, body="hip", noise=0, strength=0).scan
    for name, scan in (("a.png", usual), ("b.png", fp.reorient(usual, axcodes))):
        metal_picture(scan, fp.detect_metal(scan), tmp_path / name)
    with pixels.open(tmp_path / "a.png") as a, pixels.open(tmp_path / "b.png") as b:
        differs = np.asarray(a, int) - np.asarray(b, int)
    # Implants are numbered in another order, and of two middle slices it may be the other one; not the words.
    assert (np.abs(differs[:, : differs.shape[1] * 3 // 4]) > 8).mean() < 0.01


def test_same_bytes(hip, report, tmp_path):
    for name in ("a.png", "b.png"):
        metal_picture(hip.scan, report, tmp_path / name)
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()
    assert b"Matplotlib" not in (tmp_path / "a.png").read_bytes()


def test_without_metal_the_middle_is_shown(tmp_path, drawn):
    clean = metal_phantom(*SMALL, implants=0).scan
    metal_picture(clean, fp.detect_metal(clean), tmp_path / "clean.png")
    *pictures, words = drawn[0].axes
    assert len(pictures) == 4 and not any(orange(axes).any() for axes in pictures)
    np.testing.assert_array_equal(pictures[0].images[0].get_array(), clean.array[12])
    assert "artifact   none" in words.texts[0].get_text() and "shadow" not in words.texts[0].get_text()


def test_stored_numbers_are_shown_in_hu(hip, tmp_path, drawn):
    stored = hip.scan.with_array((hip.scan.array + 1024).astype(np.uint16))
    stored = replace(stored, rescale=Ramp(1.0, -1024.0))
    metal_picture(stored, fp.detect_metal(stored), tmp_path / "stored.png")
    shown = drawn[0].axes[3].images[0].get_array()
    np.testing.assert_array_equal(shown, hip.scan.array.max(axis=1)[::-1])


@pytest.mark.parametrize("shape", [(1, 40, 40), (40, 1, 40), (3, 40, 40)])
def test_arrays_and_thin_volumes(shape, tmp_path, drawn):
    """An array is shown as it lies, in the proportions of its spacing."""
    hu = np.full(shape, 40, np.int16)
    hu[..., :5] = -1000
    hu[..., 20:26] = 3500
    metal_picture(hu, fp.detect_metal(hu, (3, 1, 2)), tmp_path / "thin.png")
    *pictures, _ = drawn[0].axes
    assert all(axes.get_title().startswith("axis") for axes in pictures)
    assert all(orange(axes).any() for axes in pictures)


def test_many_implants_and_notes(tmp_path, drawn):
    hu = np.full((12, 60, 60), 40, np.int16)
    hu[:, :, :4] = -1000
    hu[2:4, 6:56:5, 6:56:10] = 3500
    hu[8, 8, 8] = 3500
    metal_picture(hu, fp.detect_metal(hu, (2, 2, 2)), tmp_path / "many.png")
    text = drawn[0].axes[-1].texts[0].get_text()
    assert "and 42 smaller" in text and "1 parts below 10 mm3" in text and "24 largest of 50" in text.replace("\n", " ")


def test_errors_leave_nothing(hip, report, tmp_path, monkeypatch):
    with pytest.raises(ShapeError, match="expected that of the report"):
        metal_picture(hip.scan.array[1:], report, tmp_path / "x.png")
    with pytest.raises(WriteError, match="no-such"):
        metal_picture(hip.scan, report, tmp_path / "no-such" / "x.png")
    monkeypatch.setitem(__import__("sys").modules, "matplotlib.figure", None)
    with pytest.raises(MissingExtraError, match=r"fastprep\[report\]"):
        metal_picture(hip.scan, report, tmp_path / "x.png")
    assert list(tmp_path.iterdir()) == []


def test_a_plane_turns_points_as_it_turns_pictures():
    """A voxel that is set is where `Plane.seen_at` says."""
    for codes in ("SPL", "RAS", "LIA", "ASR"):
        x = np.zeros((4, 5, 6))
        x[1, 2, 4] = 1
        for axis, plane in enumerate(_planes.planes_at((1, 2, 4), x.shape, codes, (1, 1, 1))):
            shown = plane.of(x)
            row, column = (i for a, i in enumerate((1, 2, 4)) if a != axis)
            down, across = plane.seen_at(row, column, shown.shape)
            assert shown[round(down), round(across)] == 1 and plane.largest(x).max() == 1
