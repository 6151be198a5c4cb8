"""A sweep of CLAHE: every pair of parameters, what it gains beside doing nothing, and its picture."""

from __future__ import annotations

import json
import sys

import numpy as np
import pytest

import fastprep as fp
from fastprep import Image
from fastprep.core.errors import ArgumentError, MissingExtraError, NonFiniteError, WriteError
from fastprep.qc import clahe_sweep, contrast, edge_strength, sweep_picture
from fastprep.testing import patient_grid, xray_phantom

pytest.importorskip("matplotlib")
pixels = pytest.importorskip("PIL.Image")

IMAGE = xray_phantom((96, 96), (3.7, 3.7), seed=1).image


@pytest.fixture(scope="module")
def sweep():
    return clahe_sweep(IMAGE, clip_limits=(1, 4), tiles=(2, 4))


def test_every_pair_and_the_chosen_one(sweep):
    best = fp.clahe_parameters(IMAGE)
    pairs = [(one.clip_limit, one.tiles) for one in sweep.settings]
    assert pairs[:4] == [(1, 2), (4, 2), (1, 4), (4, 4)]
    assert sum(one.is_chosen for one in sweep.settings) == 1 and sweep.chosen.clip_limit == best.clip_limit
    assert sweep.why == best.why
    for one in sweep.settings:
        after = fp.clahe(IMAGE, clip_limit=one.clip_limit, tiles=one.tiles)
        for name, figure in (("contrast", contrast), ("edge strength", edge_strength), ("noise", fp.estimate_noise)):
            assert one.figures[name].gain == pytest.approx(figure(after) / figure(IMAGE))
        np.testing.assert_array_equal(one.plane, after.array)
    np.testing.assert_array_equal(sweep.before, IMAGE.array)


def test_the_parameters_chosen_are_in_the_grid():
    best = fp.clahe_parameters(IMAGE)
    (tiles,) = set(best.tiles)
    found = clahe_sweep(IMAGE, clip_limits=(1, best.clip_limit), tiles=(tiles,))
    assert [one.is_chosen for one in found.settings] == [False, True]


def test_presets_have_names():
    found = clahe_sweep(IMAGE, clip_limits=(1, 2, 3), tiles=(8,))
    assert [one.name for one in found.settings][:3] == ["weak", "standard", "strong"]
    assert "clip 2, 8 tiles (standard)" in str(found)


def test_the_table_begins_with_doing_nothing(sweep):
    head, nothing, *rows = str(sweep).splitlines()
    assert head.split()[:3] == ["gain", "of", "contrast"] and nothing.split()[:6] == ["do", "nothing", *"1111"]
    assert sum(row.endswith("chosen") for row in rows) == 1 and rows[-1] == f"chosen: {sweep.why}"
    form = sweep.to_dict()
    assert form["settings"][0]["name"] == "do nothing" and len(form["settings"]) == len(sweep.settings) + 1
    # Never an edge figure without that of the noise.
    assert all({"edge strength", "noise", "edges over noise"} <= set(row["figures"]) for row in form["settings"])
    json.dumps(form)


def test_volumes_and_masks(tmp_path, drawn):
    """The axial plane in the middle; what is outside the mask is no one's business."""
    x = np.random.default_rng(0).normal(100, 10, (9, 40, 44)).astype(np.uint16)
    mask = np.zeros(x.shape, bool)
    mask[:, 5:35, 5:35] = True
    image = Image(x, patient_grid(x.shape, (3, 1, 1)))
    found = clahe_sweep(image, clip_limits=(2,), tiles=(2,), mask=mask)
    other = clahe_sweep(image.with_array(np.where(mask, x, 7)), clip_limits=(2,), tiles=(2,), mask=mask)
    assert found.settings[0].figures["contrast"] == other.settings[0].figures["contrast"]
    np.testing.assert_array_equal(found.before, x[4])
    sweep_picture(found, tmp_path / "a.png")
    assert (tmp_path / "a.png").stat().st_size > 1000


def test_large_planes_are_shown_smaller():
    wide = np.kron(IMAGE.array, np.ones((14, 14), np.uint16))
    found = clahe_sweep(wide, clip_limits=(2,), tiles=(2,))
    assert found.before.shape == (672, 672)
    assert found.before.mean() == pytest.approx(IMAGE.array.mean(), rel=1e-4)


def test_a_picture(sweep, tmp_path, drawn):
    for name in ("a.png", "b.png"):
        sweep_picture(sweep, tmp_path / name, title="chest")
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()
    with pixels.open(tmp_path / "a.png") as image:
        image.load()
        assert image.format == "PNG" and min(image.size) > 600
    panels = [axes for axes in drawn[0].axes if axes.images]
    assert len(panels) == 1 + len(sweep.settings)
    assert len({axes.images[0].get_clim() for axes in panels}) == 1, "one grey window"
    titles = [axes.get_title() for axes in panels]
    assert titles[0] == "do nothing" and [t.endswith("chosen") for t in titles].count(True) == 1
    assert all("noise x" in axes.get_xlabel() for axes in panels)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.png", "b.png"]


def test_errors(sweep, tmp_path, monkeypatch):
    with pytest.raises(ArgumentError, match="clip_limit"):
        clahe_sweep(IMAGE, clip_limits=(-1,))
    with pytest.raises(ArgumentError, match="tiles"):
        clahe_sweep(IMAGE, tiles=(0,))
    with pytest.raises(ArgumentError, match="clip_limits"):
        clahe_sweep(IMAGE, clip_limits=())
    with pytest.raises(NonFiniteError):
        clahe_sweep(np.where(IMAGE.array == IMAGE.array.max(), np.nan, IMAGE.array))
    with pytest.raises(WriteError, match="no-such"):
        sweep_picture(sweep, tmp_path / "no-such" / "a.png")
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(MissingExtraError, match=r"fastprep\[report\]"):
        sweep_picture(sweep, tmp_path / "a.png")
    assert not list(tmp_path.iterdir())
