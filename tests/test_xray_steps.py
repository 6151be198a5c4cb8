"""The steps for radiographs, in Python and with `fastprep run`."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

import fastprep as fp
from cohorts import cli
from dicom_files import Items, save
from fastprep.core.errors import ConfigError
from fastprep.core.voi import Voi, VoiTable, VoiWindow
from fastprep.pipeline import Clahe, Collimation, CropOrPad, Pipeline, Resample, Rescale, VoiLut, Window, ZScore
from fastprep.testing import Collimator, to_numpy, xray_phantom
from test_voi_lut import curve, lut, radiograph

GRID = fp.Grid.from_spacing((16, 64), (0.2, 0.2))
X = np.arange(1024, dtype=np.uint16).reshape(16, 64)
VIEWS = {
    "window": VoiWindow(600, 400, "linear", 1023, 1023),
    "sigmoid": VoiWindow(600, 400, "sigmoid", 1023),
    "table": VoiTable.of(100, curve(12, 500), 4095, 1023),
}
RUN = """\
name: shown
steps:
  - voi_lut: {}
  - rescale: {slope: 0.5}
"""


def image(view=None, put=np.asarray, **how):
    return fp.Image(put(X), GRID, modality="DX", voi=None if view is None else Voi((VIEWS[view],)), **how)


@pytest.mark.parametrize("view", VIEWS)
def test_equals_the_function(backend, put, view):
    """Alone, and with steps after it that interpolate, pad, and map further."""
    scan = image(view, put)
    shown = to_numpy(fp.voi_lut(scan).array)
    np.testing.assert_array_equal(to_numpy(Pipeline([VoiLut()])(scan).array), shown)
    pipeline = Pipeline([VoiLut(), Rescale(0.5, 3.0), Resample(spacing=(0.3, 0.4)), CropOrPad((14, 50))])
    result = pipeline(scan)
    assert result.voi is None
    one_by_one = fp.resample(shown * np.float32(0.5) + np.float32(3), (0.2, 0.2), (0.3, 0.4))
    beyond = float(VIEWS[view](0.0)) * 0.5 + 3  # as 0 is shown
    truth = fp.crop_or_pad(one_by_one, (14, 50), fill=beyond)
    np.testing.assert_allclose(to_numpy(result.array), truth, atol=2e-3)


def test_stored_values():
    """As the runner reads them: slope and intercept are yet to come."""
    for view in VIEWS:
        voi = Voi((VIEWS[view],))
        stored = fp.Image(1000 - X.astype(np.int16), GRID, rescale=fp.Ramp(-1.0, 1000.0), voi=voi)
        truth = fp.voi_lut(image(view)).array
        np.testing.assert_allclose(Pipeline([VoiLut()])(stored).array, truth, atol=1e-3)
        np.testing.assert_allclose(fp.voi_lut(stored).array, truth, atol=1e-3)


def test_the_plan_says_what_is_shown():
    assert "table of 500 entries from 424 onto 0..4095" in str(Pipeline([VoiLut()]).plan_for(image("table")))
    assert "[voi_lut]" in str(Pipeline([VoiLut()]).plan_for(image("window")))


def test_what_carries_no_voi_passes_untouched():
    for scan in (image(), fp.Image(X, GRID, voi=Voi(problems=("broken",)))):
        np.testing.assert_array_equal(Pipeline([VoiLut()], dtype=None)(scan).array, X)
    label = fp.Image(X, GRID, kind="label", voi=Voi((VIEWS["window"],)))
    np.testing.assert_array_equal(Pipeline([VoiLut()])(label).array, X)


def test_bad_pipelines():
    for first in (Rescale(2.0), ZScore(mask=None), Clahe(), Window(5, 9)):
        with pytest.raises(ConfigError, match=f"voi_lut.*put it before {first.name}"):
            Pipeline([first, VoiLut()]).plan_for(image("table"))
    with pytest.raises(ConfigError, match=r"index=3: the file offers \[0\] window 600/400"):
        Pipeline([VoiLut(index=3)])(image("window"))
    for index in (-1, "a", 0.5):
        with pytest.raises(ConfigError, match="index"):
            Pipeline.from_dict({"steps": [{"voi_lut": {"index": index}}]})


def test_collimation_is_the_mask_of_later_steps():
    phantom = xray_phantom((200, 180), (1.8, 2.0), seed=1, collimated=Collimator(0.1, 0.1, 0.15, 0.1))
    pipeline = Pipeline([Collimation(), ZScore(mask="found")])
    looked = pipeline.look(phantom.image)
    assert looked.found[0]["step"] == "collimation" and looked.found[0]["ok"]
    inside = phantom.field.array != 0
    result = pipeline(phantom.image).array
    assert abs(result[inside].mean()) < 0.02 and abs(result[inside].std() - 1) < 0.02
    plain = xray_phantom((200, 180), (1.8, 2.0), seed=1).image
    np.testing.assert_allclose(pipeline(plain).array, Pipeline([ZScore(mask=None)])(plain).array, atol=1e-5)


def test_run(tmp_path: Path, capsys):
    """What is recorded: inversion, windows, what the file offers, what was used; and a word where nothing was."""
    scans = tmp_path / "scans"
    for name, tags in {
        "window": {"WindowCenter": 600, "WindowWidth": 400, "PhotometricInterpretation": "MONOCHROME1"},
        "table": {"voi": [lut(0, curve(12, 1024), 12)]},
        "none": {},
    }.items():
        (scans / name).mkdir(parents=True)
        radiograph(scans / name, X, 10, **tags)
    (tmp_path / "shown.yaml").write_text(RUN)
    assert cli("plan", tmp_path / "shown.yaml", scans / "window") == 0
    assert "[voi_lut, rescale]" in capsys.readouterr().out
    assert cli("info", scans) == 0
    assert "voi       [0] window 600/400 (linear) onto 0..1023" in capsys.readouterr().out
    assert cli("run", tmp_path / "shown.yaml", scans, "-o", tmp_path / "out") == 0
    records = {str(path): json.loads(path.read_text()) for path in (tmp_path / "out").rglob("*.json")}
    by_view = {record["scan"].get("voi_used"): record for record in records.values() if "scan" in record}
    window, table, none = (by_view[key] for key in (
        "window 600/400 (linear) onto 0..1023", "table of 1024 entries from 0 onto 0..4095", None))  # fmt: skip
    assert window["scan"]["inverted"] and window["scan"]["windows"] == [[600.0, 400.0]]
    assert window["scan"]["voi"] == ["window 600/400 (linear) onto 0..1023"]
    assert table["intensity"]["after"]["max"] == pytest.approx(4095 / 2, rel=1e-3)
    assert any("voi_lut: the file holds no window" in text for text in none["warnings"])
    assert not any("voi_lut" in text for record in (window, table) for text in record["warnings"])


def test_read_back_twice(tmp_path: Path):
    """A file of both kinds through `save` and `load` of pydicom's own writer keeps the order of its views."""
    _, ds = radiograph(tmp_path, X, 10, voi=[lut(0, curve(12, 1024), 12)], WindowCenter=[5, 6], WindowWidth=[7, 8])
    ds.VOILUTSequence = Items([*ds.VOILUTSequence, lut(3, curve(10, 900), 10)])
    save(ds, tmp_path / "again.dcm")
    views = fp.load(tmp_path / "again.dcm").voi.views
    assert [type(view) for view in views] == [VoiTable, VoiTable, VoiWindow, VoiWindow]
    assert [view.top for view in views] == [4095, 1023, 1023, 1023]
