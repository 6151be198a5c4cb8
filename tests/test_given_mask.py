"""A mask that comes with the scan, in Python and with `fastprep run`."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import fastprep as fp
from cohorts import cli
from fastprep import Grid, Image, Pipeline
from fastprep.core.errors import ConfigError, DTypeError, GeometryError, MaskError, ShapeError
from fastprep.pipeline import CropToMask, GivenMask, NormalizeInMask, Resample
from fastprep.testing.assertions import to_numpy

GRID = Grid.from_spacing((20, 24), (0.5, 0.5))
RNG = np.random.default_rng(3)
SCAN = Image(RNG.integers(0, 4000, GRID.shape).astype(np.uint16), GRID)
LUNGS = np.zeros(GRID.shape, np.uint8)
LUNGS[4:15, 3:20] = 255
TEXT = """\
name: fields
steps:
  - given_mask: {of: lungs}
  - normalize_in_mask: {method: zscore}
  - resample: {spacing: [1, 1]}
"""


def test_is_what_the_steps_look_inside(put):
    pipeline = Pipeline([GivenMask(of="lungs"), NormalizeInMask(method="zscore")])
    scan = replace(SCAN, array=put(SCAN.array))
    result = pipeline(scan, mask=put(LUNGS))
    wanted = fp.normalize_in_mask(scan, put(LUNGS), method="zscore")
    assert np.array_equal(to_numpy(result.array), to_numpy(wanted.array))
    looked = pipeline.look(scan, Image(put(LUNGS), GRID, kind="label"))
    assert looked.found == ({"step": "given_mask", "area_cm2": pytest.approx(11 * 17 * 0.25 / 100)},)
    assert np.array_equal(to_numpy(looked.pipeline(scan).array), to_numpy(result.array))


def test_crops():
    result = Pipeline([GivenMask(), CropToMask(margin=0)])(SCAN, mask=LUNGS)
    assert np.array_equal(result.array, SCAN.array[4:15, 3:20])


@pytest.mark.parametrize(
    ("mask", "error", "words"),
    [
        (None, MaskError, "no mask was given"),
        (LUNGS * 0, MaskError, "empty"),
        (LUNGS[1:], ShapeError, "mask of shape"),
        (LUNGS / 255, DTypeError, "float"),
        (Image(LUNGS, Grid.from_spacing(GRID.shape, (1, 1))), GeometryError, "one grid"),
    ],
)
def test_bad_masks(mask, error, words):
    with pytest.raises(error, match=words):
        Pipeline([GivenMask(), NormalizeInMask()])(SCAN, mask=mask)


def test_nothing_waits_for_it():
    with pytest.raises(ConfigError, match="given_mask first"):
        Pipeline([Resample(spacing=(1, 1))])(SCAN, mask=LUNGS)
    with pytest.raises(ConfigError, match="of="):
        Pipeline.from_dict({"steps": [{"given_mask": {"of": "../up"}}]})


@pytest.fixture
def folders(tmp_path: Path) -> Path:
    (tmp_path / "scans").mkdir()
    (tmp_path / "masks").mkdir()
    for name in ("a", "b", "c"):
        fp.save(SCAN, tmp_path / "scans" / f"{name}.png")
    fp.save(SCAN.with_array(LUNGS), tmp_path / "masks" / "a.png")
    fp.save(SCAN.with_array(LUNGS), tmp_path / "masks" / "b_lungs.png")
    (tmp_path / "fields.yaml").write_text(TEXT)
    return tmp_path


def run(folders: Path, *words: object) -> int:
    return cli("run", folders / "fields.yaml", folders / "scans", "-o", folders / "out", *words)


def test_found_by_the_scans_name(folders, capsys):
    assert run(folders, "--masks", folders / "masks") == 1
    said = capsys.readouterr()
    assert "no mask of this scan among 2: expected c or c_lungs or c_mask" in said.err + said.out
    record = json.loads((folders / "out" / "a.json").read_text())
    assert record["looked"][0]["file"] == "a.png" and len(record["looked"][0]["sha256"]) == 64
    scan = fp.load(folders / "scans" / "a.png")
    wanted = Pipeline.from_yaml(TEXT)(scan, mask=LUNGS)
    for name in ("a", "b"):
        assert np.array_equal(fp.load(folders / "out" / f"{name}.nii.gz").array, wanted.array)
        assert (folders / "out" / f"{name}_lungs.nii.gz").is_file()


def test_another_mask_is_done_again(folders, capsys):
    (folders / "scans" / "c.png").unlink()
    assert run(folders, "--masks", folders / "masks") == 0
    first = (folders / "out" / "a.nii.gz").read_bytes()
    changed = LUNGS.copy()
    changed[5:9, 5:9] = 0
    fp.save(SCAN.with_array(changed), folders / "masks" / "a.png")
    capsys.readouterr()
    assert run(folders, "--masks", folders / "masks") == 0
    assert "1 unchanged" in capsys.readouterr().out
    assert (folders / "out" / "a.nii.gz").read_bytes() != first


def test_a_model_in_its_place(folders):
    (folders / "scans" / "c.png").unlink()
    assert run(folders, "--segmenter", "test_given_mask:bright") == 0
    record = json.loads((folders / "out" / "a.json").read_text())
    assert record["looked"][0]["step"] == "segment" and "bright" in record["looked"][0]["model"]["name"]


def bright(scan):
    return (scan.array > 1000).astype(np.float32)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ((), "give --masks FOLDER, or --segmenter MODEL"),
        (("--masks", "masks", "--segmenter", "m:f"), "both"),
        (("--masks", "nowhere"), "no such file or folder"),
    ],
)
def test_run_says_what_it_wants(folders, words, said, capsys, monkeypatch):
    monkeypatch.chdir(folders)
    assert run(folders, *words) == 2
    assert said in capsys.readouterr().err
    assert not (folders / "out").exists()


def test_masks_for_a_pipeline_without(folders, capsys):
    assert cli("run", "ct-chest", folders / "scans", "-o", folders / "out", "--masks", folders / "masks") == 2
    assert "no step of ct-chest waits for a mask" in capsys.readouterr().err
