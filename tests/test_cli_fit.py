"""``fastprep fit`` and the leak guard of ``fastprep run``: no test case is prepared with what was learned from it."""

from __future__ import annotations

import gzip
import shutil
import signal
import threading
from dataclasses import replace

import numpy as np
import pytest

import fastprep as fp
from cohorts import cli, dicom, failures, program, records, strict
from fastprep.cohort import fit as fitting
from fastprep.cohort.cases import find_cases
from fastprep.cohort.fit import fit_cohort
from fastprep.cohort.work import Cancelled
from fastprep.core.errors import ArgumentError
from fastprep.core.threads import set_num_threads
from fastprep.pipeline import Nyul, Pipeline

UNFITTED = """\
name: standard
steps:
  - reorient: {axcodes: SPL}
  - nyul: {}
  - crop_or_pad: {shape: [6, 8, 8]}
"""


@pytest.fixture(autouse=True)
def _threads():
    yield
    set_num_threads(None)


def write(path, seed):
    rng = np.random.default_rng(seed)
    values = rng.choice([40.0, 90.0, 140.0], (6, 10, 12)) * (1 + seed) + rng.normal(0, 4, (6, 10, 12))
    values[:, :3] = 0
    path.parent.mkdir(parents=True, exist_ok=True)
    fp.save(fp.Image(values.astype(np.float32), fp.Grid.from_spacing(values.shape, (1, 1, 1))), path)
    return path


@pytest.fixture
def train(tmp_path):
    for seed in range(3):
        write(tmp_path / "train" / f"case{seed}.nii.gz", seed)
    return tmp_path / "train"


@pytest.fixture
def unfitted(tmp_path):
    path = tmp_path / "standard.yaml"
    path.write_text(UNFITTED)
    return path


@pytest.fixture
def fitted(train, unfitted, tmp_path):
    assert cli("fit", unfitted, train, "-o", tmp_path / "fitted.yaml") == 0
    return tmp_path / "fitted.yaml"


def test_writes_the_pipeline_with_its_numbers(train, unfitted, tmp_path, capsys):
    fitted = tmp_path / "fitted.yaml"
    assert cli("fit", unfitted, train, "-o", fitted) == 0
    said = capsys.readouterr().out
    assert said.startswith("nyul: landmarks 1, ") and "fitted on 3 cases in " in said
    pipeline = Pipeline.load(fitted)
    images = [fp.load(path) for path in sorted(train.iterdir())]
    assert pipeline.steps[1].landmarks == Pipeline.from_yaml(UNFITTED).fit(images).steps[1].landmarks
    cases = pipeline.fitted_on.cases
    assert [case.name for case in cases] == ["case0", "case1", "case2"] and pipeline.name == "standard"
    assert all(len(case.sha256) == len(case.voxels_sha256) == 64 for case in cases)


def test_same_numbers_from_any_number_of_jobs(train, unfitted):
    found, pipeline = find_cases([train]), Pipeline.load(unfitted)
    assert fit_cohort(found, pipeline, jobs=1).pipeline == fit_cohort(found, pipeline, jobs=3).pipeline


def test_unfitted_does_not_run(train, unfitted, tmp_path, capsys):
    assert cli("run", unfitted, train, "-o", tmp_path / "out") == 2
    assert "step 2: nyul has learned nothing yet: `fastprep fit" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_a_case_of_the_fit_is_told(train, fitted, tmp_path, capsys):
    write(tmp_path / "scans" / "new.nii.gz", 7)
    shutil.copy(train / "case1.nii.gz", tmp_path / "scans" / "renamed.nii.gz")
    out = tmp_path / "out"
    assert cli("run", fitted, tmp_path / "scans", "-o", out) == 0
    assert "warning: the pipeline was fitted on 1 of these 2 scans: renamed (" in capsys.readouterr().err
    seen, new = strict(out / "renamed.json"), strict(out / "new.json")
    assert seen["warnings"] == ["renamed (there case1) is one of the 3 cases that the pipeline was fitted on"]
    assert seen["fitted_on"]["has_this_case"] and not new["fitted_on"]["has_this_case"] and not new["warnings"]
    assert seen["fitted_on"]["cases"] == 3 and seen["fitted_on"]["sha256"] == Pipeline.load(fitted).fitted_on.digest
    assert "fitted_on" not in seen["pipeline"] and seen["pipeline_sha256"] == Pipeline.load(fitted).hash
    # Again: nothing to do, and the warning still stands.
    assert cli("run", fitted, tmp_path / "scans", "-o", out) == 0
    io = capsys.readouterr()
    assert "2 unchanged" in io.out and "fitted on 1 of these 2" in io.err


def test_training_cases_are_no_news(train, fitted, tmp_path, capsys):
    assert cli("run", fitted, train, "-o", tmp_path / "out", "--split", "train") == 0
    assert capsys.readouterr().err == ""
    record = strict(tmp_path / "out" / "case0.json")
    assert record["warnings"] == [] and record["fitted_on"]["split"] == "train"


@pytest.mark.parametrize("split", ["test", "val"])
def test_a_split_that_overlaps_is_refused(split, train, fitted, tmp_path, capsys):
    write(train / "new.nii.gz", 7)
    assert cli("run", fitted, train, "-o", tmp_path / "out", "--split", split) == 2
    message = f"3 of 4 scans of the {split} split are among the 3 that the pipeline was fitted on: case0, case1, case2"
    assert message in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_a_copy_in_another_file_is_found_by_its_voxels(train, fitted, tmp_path, capsys):
    other = tmp_path / "scans" / "other.nii"
    other.parent.mkdir()
    other.write_bytes(gzip.decompress((train / "case2.nii.gz").read_bytes()))
    write(tmp_path / "scans" / "new.nii.gz", 7)
    out = tmp_path / "out"
    assert cli("run", fitted, tmp_path / "scans", "-o", out, "--split", "test") == 1
    assert failures(out)["other"]["reason"] == "LeakError" and "1 ok, 1 failed" in capsys.readouterr().out
    assert "leave it out" in failures(out)["other"]["remedy"]
    # What was prepared without a split is looked at again for one.
    assert cli("run", fitted, tmp_path / "scans", "-o", out, "--split", "train") == 0
    assert cli("run", fitted, tmp_path / "scans", "-o", out, "--split", "test") == 1


def test_a_label_map_leaks_nothing(train, fitted, tmp_path):
    shutil.copy(train / "case1.nii.gz", tmp_path / "case1_seg.nii.gz")
    out = tmp_path / "out"
    assert cli("run", fitted, tmp_path / "case1_seg.nii.gz", "-o", out, "--labels", "*_seg*", "--split", "test") == 0
    assert not strict(out / "case1_seg.json")["fitted_on"]["has_this_case"]


def test_dicom_is_known_by_its_slices(unfitted, tmp_path, capsys):
    dicom(tmp_path / "a" / "series", slices=6)
    assert cli("fit", unfitted, tmp_path / "a", "-o", tmp_path / "fitted.yaml") == 0
    for number, path in enumerate(sorted((tmp_path / "a" / "series").iterdir(), reverse=True)):
        (tmp_path / "b").mkdir(exist_ok=True)
        shutil.copy(path, tmp_path / "b" / f"{number}.dcm")
    assert cli("run", tmp_path / "fitted.yaml", tmp_path / "b", "-o", tmp_path / "out", "--split", "test") == 2
    assert "1 of 1 scans" in capsys.readouterr().err


def test_one_bad_case_is_left_out_and_told(train, unfitted, tmp_path, capsys):
    (train / "broken.nii.gz").write_bytes(b"\x1f\x8bno scan")
    fp.save(
        fp.Image(np.zeros((4, 4, 4), np.float32), fp.Grid.from_spacing((4, 4, 4), (1, 1, 1))), train / "empty.nii.gz"
    )
    assert cli("fit", unfitted, train, "-o", tmp_path / "fitted.yaml") == 1
    io = capsys.readouterr()
    assert "left out broken: " in io.err and "left out empty: x is constant" in io.err
    assert "fitted on 3 cases" in io.out
    assert [c.name for c in Pipeline.load(tmp_path / "fitted.yaml").fitted_on.cases] == ["case0", "case1", "case2"]


def test_nothing_to_fit_on(unfitted, tmp_path, capsys):
    bad = tmp_path / "bad" / "broken.nii"
    bad.parent.mkdir()
    bad.write_bytes(b"no scan")
    assert cli("fit", unfitted, bad.parent, "-o", tmp_path / "fitted.yaml") == 2
    assert "0 training cases came: expected at least one" in (err := capsys.readouterr().err)
    assert "1 cases failed, broken: " in err and not (tmp_path / "fitted.yaml").exists()
    assert cli("fit", unfitted, tmp_path / "nowhere", "-o", tmp_path / "fitted.yaml") == 2
    assert "no such file or folder" in capsys.readouterr().err


def test_options_that_do_not_fit(train, unfitted, fitted, tmp_path, capsys):
    for words, message in (
        (("fit", unfitted, train, "-o", fitted), "is there already: --overwrite replaces it"),
        (("fit", unfitted, train, "-o", tmp_path / "fitted.json"), "expected a .yaml file"),
        (("fit", "ct-chest", train, "-o", tmp_path / "x.yaml"), "has anything to learn from data"),
        (("fit", fitted, train, "-o", tmp_path / "x.yaml"), "or all have learned it"),
        (
            ("run", fitted, train, "-o", tmp_path / "out", "--split", "dev"),
            "split='dev': expected one of train, val, test",
        ),
    ):
        assert cli(*words) == 2
        assert message in capsys.readouterr().err
    assert cli("fit", unfitted, train / "case0.nii.gz", "-o", fitted, "--overwrite") == 0
    assert len(Pipeline.load(fitted).fitted_on.cases) == 1


def test_an_output_that_cannot_be_written(train, unfitted, tmp_path, capsys):
    assert cli("fit", unfitted, train, "-o", tmp_path / "no" / "folder" / "fitted.yaml") == 2
    assert "cannot be written" in capsys.readouterr().err


def test_memory_that_is_not_there(train, unfitted):
    with pytest.raises(ArgumentError, match="3 cases failed, case0: needs 0.00 GiB of memory"):
        fit_cohort(find_cases([train]), Pipeline.load(unfitted), memory_bytes=1000)


def test_stops_between_cases(train, unfitted):
    stop = threading.Event()
    with pytest.raises(Cancelled):
        fit_cohort(find_cases([train]), Pipeline.load(unfitted), jobs=1, stop=stop, on_outcome=lambda _: stop.set())


def test_ctrl_c_leaves_nothing(train, unfitted, tmp_path):
    code = """
import sys, time
from fastprep.cohort import fit
from fastprep.cli import main
original = fit.learn
def slow(*words):
    print("at work", flush=True)
    time.sleep(1)
    return original(*words)
fit.learn = slow
sys.exit(main(sys.argv[1:]))
"""
    process = program(code, "fit", unfitted, train, "-o", tmp_path / "fitted.yaml", "--jobs", 1)
    assert process.stdout is not None and process.stdout.readline() == "at work\n"
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 130, err
    assert "stopping" in err and "fitted on" not in out and not (tmp_path / "fitted.yaml").exists()


def test_journal_tells_what_was_in_the_fit(train, fitted, tmp_path):
    assert cli("run", fitted, train, "-o", tmp_path / "out") == 0
    assert all(record["in_fit"] for record in records(tmp_path / "out"))


def test_cases_are_not_held(train, unfitted, monkeypatch):
    """The number of images alive at once does not grow with the cohort."""
    alive, most, original = set[int](), [0], fitting.read_case

    class Tracked(np.ndarray):
        def __del__(self):
            alive.discard(id(self))

    def read(case, irregular):
        scan = original(case, irregular)
        array = scan.image.array.view(Tracked)
        alive.add(id(array))
        most[0] = max(most[0], len(alive))
        return replace(scan, image=scan.image.with_array(array))

    for seed in range(3, 9):
        write(train / f"case{seed}.nii.gz", seed)
    monkeypatch.setattr(fitting, "read_case", read)
    fit_cohort(find_cases([train]), Pipeline([Nyul()]), jobs=2)
    assert 1 <= most[0] <= 3


def test_real_scans(data, tmp_path, capsys):
    unfitted = tmp_path / "nyul.yaml"
    unfitted.write_text("modality: MR\nsteps: [{nyul: {}}]\n")
    out, fitted = tmp_path / "out", tmp_path / "fitted.yaml"
    stroke, head = data / "mri" / "stroke" / "T1.nii.gz", data / "mri" / "t1_head.nii.gz"
    assert cli("fit", unfitted, stroke, "-o", fitted) == 0
    assert cli("run", fitted, stroke, head, "-o", out, "--split", "test") == 2
    assert (
        "1 of 2 scans of the test split are among the 1 that the pipeline was fitted on: T1" in capsys.readouterr().err
    )
    assert cli("run", fitted, head, "-o", out, "--split", "test") == 0
    image = fp.load(head)
    values = fp.load(out / "t1_head.nii.gz").array[fp.foreground_mask(image).array]
    percentiles = Pipeline.load(fitted).steps[0]
    np.testing.assert_allclose(np.percentile(values, percentiles.percentiles), percentiles.landmarks, atol=1e-4)
