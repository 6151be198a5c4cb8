"""The steps that find bodies, lungs and metal, and models as steps; what a run writes of them."""

from __future__ import annotations

import json
import sys
import types
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import fastprep as fp
from cohorts import cli, failures
from fastprep.cohort.cases import find_cases
from fastprep.cohort.runner import run_cohort
from fastprep.cohort.work import Settings, straightened
from fastprep.core.errors import ArgumentError, MaskError
from fastprep.core.grid import Grid
from fastprep.pipeline import BodyMask, CropToMask, LungMask, MetalCheck, NormalizeInMask, Pipeline, Segment, Window
from fastprep.testing import chest_ct
from fastprep.testing.phantoms import METAL_VOLUME_ML

LUNG = """\
name: lungs
modality: CT
steps:
  - metal_check: {threshold: 2500}
  - lung_mask: {}
  - crop_to_mask: {margin: 10}
  - reorient: {axcodes: SPL}
  - resample: {spacing: [4, 4, 4]}
  - window: {preset: lung}
"""


@pytest.fixture(scope="module")
def chest():
    return chest_ct(metal=True)


def bright(image):
    """A model, for all the pipeline knows."""
    return image.array > 500


def dense(image):
    """Another."""
    return image.array > 0


def test_body(chest):
    looked = Pipeline([BodyMask(), CropToMask()]).look(chest)
    np.testing.assert_array_equal(looked.mask.array, fp.body_mask(chest).array)
    (found,) = looked.found
    assert found["step"] == "body_mask"
    assert found["volume_ml"] == pytest.approx(looked.mask.array.sum() * 4 * 2.8 * 2.8 / 1000)
    with pytest.raises(MaskError, match="body: nothing is above 9000 HU"):
        Pipeline([BodyMask(threshold=9000)]).look(chest)
    for how in ({"threshold": "low"}, {"opening_mm": -1}, {"write": "yes"}):
        with pytest.raises(ArgumentError):
            BodyMask(**how)


def test_lungs(chest):
    looked = Pipeline([LungMask()]).look(chest)
    expected = fp.lung_mask(chest)
    np.testing.assert_array_equal(looked.mask.array, expected.labels.array)
    (found,) = looked.found
    assert found["ok"] and found["volume_ml"] == expected.volume_ml
    json.dumps(found)
    solid = np.where(chest.array < -400, 40, chest.array).astype(np.int16)
    solid[:, :3] = -1000
    with pytest.raises(MaskError, match=r"lungs: "):
        Pipeline([LungMask()]).look(chest.with_array(solid))
    for how in ({"threshold": "low"}, {"closing_mm": -1}):
        with pytest.raises(ArgumentError):
            LungMask(**how)


def test_metal_is_told_and_nothing_else(chest):
    looked = Pipeline([MetalCheck(threshold=2500), Window(preset="lung")]).look(chest)
    (found,) = looked.found
    assert found["count"] == 1 and looked.mask is None
    assert found["volume_mm3"] == pytest.approx(METAL_VOLUME_ML * 1000, rel=0.5)
    assert "metal: 1 implant" in found["warning"]
    json.dumps(found)
    np.testing.assert_array_equal(looked.pipeline(chest).array, fp.window(chest.array, preset="lung"))
    (clean,) = Pipeline([MetalCheck()]).look(chest_ct()).found
    assert clean["count"] == 0 and clean["severity"] == "none" and "warning" not in clean
    for how in ({"threshold": "high"}, {"min_volume_mm3": -1}, {"connectivity": 7}):
        with pytest.raises(ArgumentError):
            MetalCheck(**how)


def test_a_model_is_a_step(chest):
    pipeline = Pipeline([Segment(model=bright), NormalizeInMask()])
    inside = chest.array > 500
    np.testing.assert_allclose(pipeline(chest).array, fp.normalize_in_mask(chest, inside).array, atol=1e-6)
    (found,) = pipeline.look(chest).found
    assert found["model"]["name"].endswith("bright") and len(found["model"]["sha256"]) == 64
    with pytest.raises(MaskError, match="found nothing"):
        Pipeline([Segment(model=lambda image: image.array > 9000)]).look(chest)
    with pytest.raises(ArgumentError, match="model=3"):
        Segment(model=3)


def test_a_model_by_name_with_a_pipeline_before_it(chest):
    """What it finds on the prepared scan is brought back to the scan."""
    text = """
steps:
  - segment:
      model: tests_model:lit
      prepare: {dtype: float32, steps: [{resample: {spacing: [4, 4, 4]}}, {window: {level: 40, width: 400}}]}
  - crop_to_mask: {}
"""
    module = types.ModuleType("tests_model")
    module.lit = lambda image: image.array > 0.9
    sys.modules["tests_model"] = module
    try:
        pipeline = Pipeline.from_yaml(text)
        assert Pipeline.from_yaml(pipeline.to_yaml()) == pipeline
        mask = pipeline.look(chest).mask
        assert mask.grid.same_as(chest.grid)
        coarse = fp.resample(chest.array, chest.spacing, (4, 4, 4), fill=-1024) > 220
        assert mask.array.sum() * 4 * 2.8 * 2.8 == pytest.approx(coarse.sum() * 64, rel=0.05)
    finally:
        del sys.modules["tests_model"]


@pytest.fixture
def scans(tmp_path, chest):
    folder = tmp_path / "scans"
    folder.mkdir()
    fp.save(chest, folder / "a.nii.gz")
    solid = np.where(chest.array < -400, 40, chest.array).astype(np.int16)
    solid[:, :3] = -1000
    fp.save(chest.with_array(solid), folder / "solid.nii.gz")
    return folder


def run(scans: Path, output: Path, text: str = LUNG):
    settings = Settings(Pipeline.from_yaml(text), output)
    return run_cohort(find_cases([scans], output=output), settings)


def test_a_run_writes_the_mask_beside(scans, tmp_path, chest):
    output = tmp_path / "out"
    summary = run(scans, output)
    assert {o.case.id: o.status for o in summary.outcomes} == {"a": "ok", "solid": "failed"}
    failure = failures(output)["solid"]
    assert failure["reason"] == "MaskError" and "look at the scan" in failure["remedy"]
    assert failure["message"].startswith("lungs: ")
    volume, mask = fp.load(output / "a.nii.gz"), fp.load(output / "a_lungs.nii.gz")
    assert mask.grid.same_as(volume.grid) and set(np.unique(mask.array)) == {0, 1, 2}
    record = json.loads((output / "a.json").read_text())
    metal, lungs = record["looked"]
    assert metal["count"] == 1 and lungs["step"] == "lung_mask"
    assert mask.array.astype(bool).sum() * 0.064 == pytest.approx(lungs["volume_ml"], rel=0.02)
    assert any(text.startswith("metal: 1 implant") for text in record["warnings"])
    assert record["pipeline"]["steps"][1] == {"lung_mask": {}}
    back = Pipeline.from_yaml(LUNG).inverse(replace(mask, kind="label"), record)
    there = fp.lung_mask(chest).labels
    both = (back.array.astype(bool) & there.array.astype(bool)).sum() * 2
    assert both / (back.array.astype(bool).sum() + there.array.astype(bool).sum()) > 0.97


def test_a_run_goes_on_where_the_mask_is_missing(scans, tmp_path):
    output = tmp_path / "out"
    (scans / "solid.nii.gz").unlink()
    assert [o.status for o in run(scans, output).outcomes] == ["ok"]
    assert [o.status for o in run(scans, output).outcomes] == ["unchanged"]
    (output / "a_lungs.nii.gz").unlink()
    assert [o.status for o in run(scans, output).outcomes] == ["ok"]
    assert (output / "a_lungs.nii.gz").is_file()
    alone = tmp_path / "alone"
    run(scans, alone, LUNG.replace("lung_mask: {}", "lung_mask: {write: false}"))
    assert not list(alone.glob("*_lungs*"))


def test_a_forecast_says_what_it_does_not_know(scans, tmp_path, capsys):
    path = tmp_path / "lungs.yaml"
    path.write_text(LUNG)
    assert cli("run", path, scans / "a.nii.gz", "-o", tmp_path / "out", "--dry-run") == 0
    assert "up to 64 x 90 x 90" in capsys.readouterr().out
    assert cli("plan", path, scans / "a.nii.gz") == 0
    assert "metal_check and lung_mask looks at the scan first" in capsys.readouterr().out


def test_the_preset_on_real_scans(data, tmp_path):
    """Both chests: two lungs of a plausible size, 10 mm around them, and the same mask beside."""
    output = tmp_path / "out"
    assert cli("run", "ct-lung", data / "ct" / "chest_p001", "-o", output) == 0
    record = json.loads((output / "chest_p001.json").read_text())
    (lungs,) = record["looked"]
    assert lungs["ok"] and 1500 < lungs["volume_ml"] < 8000
    mask = fp.load(output / "chest_p001_lungs.nii.gz").array
    assert mask.sum(where=mask > 0) > 0
    where = np.argwhere(mask)
    assert (where.min(axis=0) <= 11).all() and (np.array(mask.shape) - where.max(axis=0) <= 13).all()


def test_another_model_is_another_output(scans, tmp_path, monkeypatch):
    """The pipeline's file is the same; what it names is not."""
    (scans / "solid.nii.gz").unlink()
    module = types.ModuleType("tests_model")
    monkeypatch.setitem(sys.modules, "tests_model", module)
    text = "steps: [{segment: {model: 'tests_model:find'}}, normalize_in_mask]"
    done = []
    for find in (bright, bright, dense):
        module.find = find
        done += [outcome.status for outcome in run(scans, tmp_path / "out", text).outcomes]
    assert done == ["ok", "unchanged", "ok"]
    assert (fp.load(tmp_path / "out" / "a_mask.nii.gz").array != 0).sum() == (chest_ct(metal=True).array > 0).sum()


def test_a_tilted_scan_is_looked_at_before_it_is_straightened():
    affine = np.eye(4)
    affine[0, 1] = 0.3
    pipeline = Pipeline([BodyMask(), CropToMask()])
    steps = straightened(pipeline, Grid((4, 5, 6), affine), "resample").steps
    assert [step.name for step in steps] == ["body_mask", "deskew", "crop_to_mask"]
    assert straightened(pipeline, Grid((4, 5, 6), np.eye(4)), "resample") is pipeline


@pytest.mark.gpu
def test_a_run_on_a_gpu_looks_there(driver, tmp_path):
    """It finds the same mask, and writes the same files."""
    scans = tmp_path / "in"
    scans.mkdir()
    fp.save(chest_ct((16, 32, 32), (16, 11, 11), metal=True), scans / "a.nii.gz")
    path = tmp_path / "lungs.yaml"
    path.write_text(LUNG.replace("- window", "- zscore: {mask: found}\n  - window").replace("[4, 4, 4]", "[8, 8, 8]"))
    for device in ("cpu", "cuda"):
        assert cli("run", path, scans, "-o", tmp_path / device, "--device", device) == 0
    assert driver.count("launch") > 20
    for name in ("a.nii.gz", "a_lungs.nii.gz"):
        here, there = (fp.load(tmp_path / device / name) for device in ("cpu", "cuda"))
        np.testing.assert_allclose(there.array, here.array, atol=1e-5)
        assert there.grid.same_as(here.grid)
    here, there = (json.loads((tmp_path / device / "a.json").read_text())["looked"] for device in ("cpu", "cuda"))
    assert there == here
