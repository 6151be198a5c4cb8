"""The command line: what it prints, how it exits, and that no pipeline text can break it."""

from __future__ import annotations

import copy
import json
import random
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import fastprep
from cohorts import ROOT, SMALL, assert_whole, cli, dicom, failures, files_of, nifti, pipeline_file, strict
from fastprep.core.errors import ConfigError
from fastprep.core.threads import set_num_threads
from fastprep.pipeline import Pipeline, yaml_form

Text = pytest.CaptureFixture[str]


@pytest.fixture(autouse=True)
def _threads() -> Any:
    yield
    set_num_threads(None)


@pytest.fixture
def scans(tmp_path: Path) -> Path:
    dicom(tmp_path / "scans" / "alpha")
    nifti(tmp_path / "scans" / "plain.nii.gz")
    return tmp_path / "scans"


# run -----------------------------------------------------------------------------------------------------------------


def test_run_says_what_it_did(scans: Path, tmp_path: Path, capsys: Text) -> None:
    words = ("run", pipeline_file(tmp_path), scans, "-o", tmp_path / "out", "--jobs", 2, "--threads", 2)
    assert cli(*words) == 0
    out, err = capsys.readouterr()
    assert out.startswith("2 ok, 0 failed, 0 unchanged of 2 in ")
    assert out.count("\n") == 1
    assert "volumes/s with 2 jobs" in out and "process peak" in out
    assert err == "", "no bar where no one looks"
    assert strict(tmp_path / "out" / "alpha.json")["threads"] == 1
    assert cli(*words) == 0
    assert capsys.readouterr().out.startswith("0 ok, 0 failed, 2 unchanged of 2")
    assert cli(*words, "--overwrite") == 0
    assert capsys.readouterr().out.startswith("2 ok, 0 failed, 0 unchanged")


def test_a_failed_case_is_exit_status_1(scans: Path, tmp_path: Path, capsys: Text) -> None:
    (scans / "zero.nii.gz").write_bytes(b"")
    output = tmp_path / "out"
    assert cli("run", pipeline_file(tmp_path), scans, "-o", output) == 1
    out, err = capsys.readouterr()
    assert "2 ok, 1 failed" in out
    assert "failed zero: zero.nii.gz: " in err and "failures.csv" in err
    assert "empty" in failures(output)["zero"]["message"] or "truncated" in failures(output)["zero"]["message"]
    assert_whole(output)


def test_dry_run_writes_nothing(scans: Path, tmp_path: Path, capsys: Text) -> None:
    output = tmp_path / "out"
    words = ("run", pipeline_file(tmp_path), scans, "-o", output)
    assert cli(*words, "--dry-run") == 0
    out = capsys.readouterr().out
    assert not output.exists()
    assert "alpha" in out and "5 x 8 x 6" in out and "8 x 12 x 12" in out and "prepare" in out
    cli(*words)
    before = {name: (output / name).stat().st_mtime_ns for name in files_of(output)}
    capsys.readouterr()
    assert cli(*words, "--dry-run") == 0
    assert capsys.readouterr().out.count("nothing, unchanged") == 2
    assert {name: (output / name).stat().st_mtime_ns for name in files_of(output)} == before
    (scans / "zero.nii.gz").write_bytes(b"")
    assert cli(*words, "--dry-run") == 1
    assert "refuse: zero.nii.gz" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("run", "ct-ches", "{scans}", "-o", "{out}"), "unknown pipeline 'ct-ches': did you mean 'ct-chest'?"),
        (("run", "ct-chest", "{scans}/nowhere", "-o", "{out}"), "nowhere: no such file or folder"),
        (("run", "ct-chest", "{empty}", "-o", "{out}"), "no scan found"),
        (("run", "ct-chest", "{scans}"), "Missing option '-o'"),
        (("run", "ct-chest", "-o", "{out}"), "Missing argument 'INPUT...'"),
        (("run", "ct-chest", "{scans}", "-o", "{out}", "--jobs", "0"), "--jobs"),
        (("run", "ct-chest", "{scans}", "-o", "{out}", "--format", "nrrd"), "'nrrd' is not one of"),
        (("run", "ct-chest", "{scans}", "-o", "{out}", "--formt", "nii"), "--format"),
        (("run", "ct-chest", "{scans}", "-o", "{scans}"), "also an input"),
        (("run", "ct-chest", "{scans}", "-o", "/proc/fastprep"), "/proc/fastprep"),
        (
            ("run", "{file}", "{scans}", "-o", "{out}"),
            "step 1: unknown key of 'resample' 'spacng': did you mean 'spacing'",
        ),
        (("presets", "ct-chst"), "did you mean 'ct-chest'?"),
        (("plan", "ct-chest", "{scans}/nowhere"), "no such file or folder"),
        (("info", "{scans}/nowhere"), "no such file or folder"),
        (("rnu",), "No such command 'rnu'"),
    ],
)
def test_usage_errors_are_one_line_and_exit_status_2(
    scans: Path, tmp_path: Path, capsys: Text, words: tuple[str, ...], message: str
) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "file.yaml").write_text("steps: [{resample: {spacng: [1, 1, 1]}}]")
    places = {
        "scans": scans,
        "out": tmp_path / "out",
        "empty": tmp_path / "empty",
        "file": tmp_path / "file.yaml",
    }
    assert cli(*(word.format(**places) for word in words)) == 2
    out, err = capsys.readouterr()
    assert err.startswith("error: ") and err.count("\n") == 1, err
    assert message in err
    assert out == ""
    assert not (tmp_path / "out").exists()


def test_a_traceback_only_on_request(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FASTPREP_DEBUG", "1")
    with pytest.raises(ConfigError):
        cli("run", "no-such", "x", "-o", "y")


def test_a_fault_of_ours_is_one_line_too(capsys: Text, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(**_: str) -> None:
        raise RuntimeError("boom")

    monkeypatch.setattr(fastprep, "warmup", broken, raising=False)
    assert cli("warmup") == 2
    assert capsys.readouterr().err == "error: unexpected RuntimeError: boom (FASTPREP_DEBUG=1 shows where)\n"


def test_ctrl_c_before_the_run_is_130(capsys: Text, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(**_: str) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(fastprep, "warmup", interrupted, raising=False)
    assert cli("warmup") == 130


# The other commands --------------------------------------------------------------------------------------------------


def test_info_describes_and_names_no_one(scans: Path, capsys: Text) -> None:
    dicom(scans / "tilted", step=(0, 0.3, 1))
    assert cli("info", scans) == 0
    out = capsys.readouterr().out
    for text in (
        "5 x 8 x 6 uint16, times 1 -1024",
        "2 x 0.5 x 0.75 mm",
        "axes      SPL",
        "modality  CT",
        "gantry tilt",
    ):
        assert text in out, out
    assert "Doe" not in out and "4711" not in out
    assert cli("info", scans / "tilted") == 1


def test_plan_prints_the_passes(scans: Path, capsys: Text) -> None:
    assert cli("plan", "ct-chest", scans / "alpha") == 0
    out = capsys.readouterr().out
    assert "gather (linear) to (288, 320, 320)" in out
    assert "of memory" in out
    assert cli("plan", pipeline_file(scans.parent, SMALL.replace("CT", "MR")), scans / "alpha") == 1
    assert "image of modality CT for a pipeline made for MR" in capsys.readouterr().err


def test_lists(capsys: Text) -> None:
    from fastprep.registry import TABLE

    assert cli("ops") == 0
    assert len(capsys.readouterr().out.splitlines()) == len(TABLE) + 1
    assert cli("presets") == 0
    names = [line.split()[0] for line in capsys.readouterr().out.splitlines()]
    assert names == yaml_form.presets()
    for name in names:
        assert cli("presets", name) == 0
        assert Pipeline.from_yaml(capsys.readouterr().out) == Pipeline.load(name)


def test_demo_prepares_what_it_made(tmp_path: Path, capsys: Text) -> None:
    pytest.importorskip("fastprep.testing.phantoms")
    assert cli("demo", "-o", tmp_path / "demo") == 0
    out = capsys.readouterr().out
    assert "2 ok, 1 failed" in out and out.count(" ok, 0 failed") == 2
    assert out.count(" mm, mean ") == 5
    assert {p.name for p in (tmp_path / "demo" / "prepared").iterdir()} == {"ct", "mri", "xray"}


def test_help_is_there_at_once() -> None:
    code = """
import sys
from fastprep.cli import main
main(["--help"])
heavy = {"numba", "numpy", "nibabel", "pydicom", "zarr", "scipy", "rich", "torch", "imagecodecs"} & set(sys.modules)
sys.exit(f"imported {sorted(heavy)}" if heavy else 0)
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "Usage: fastprep" in done.stdout


def test_python_dash_m() -> None:
    words = [sys.executable, "-m", "fastprep", "--version"]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.stdout.strip() == f"fastprep, version {fastprep.__version__}"


def test_the_bar_shows_on_a_terminal(
    scans: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Text
) -> None:
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    monkeypatch.setenv("TERM", "xterm")
    assert cli("run", pipeline_file(tmp_path), scans, "-o", tmp_path / "out") == 0
    assert capsys.readouterr().out.startswith("2 ok")


# Any pipeline text ---------------------------------------------------------------------------------------------------

SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(10**20), 10**20),
    st.floats(),
    st.text(max_size=8),
    st.sampled_from(["lung", "SPL", "linear", "CT", "float32", "resample", "nearest", "edges", "int7"]),
)
WORDS = ["steps", "format", "dtype", "modality", "name", "description", "resample", "window", "clip_hu", "flip"]
WORDS += [
    "reorient",
    "crop_or_pad",
    "multi_window",
    "invert",
    "rescale",
    "deskew",
    "spacing",
    "shape",
    "axes",
    "preset",
]
WORDS += ["presets", "axcodes", "level", "width", "order", "fill", "value_range", "lo", "hi", "slope", "out_range"]
MARKS = [": ", "\n", "  ", "- ", "[", "]", "{", "}", "&a ", "*a", "<<: *a", "!!python/object ", "'", '"', "|"]
MARKS += ["1e400", ".nan", "0x1F", "2001-01-01"]
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.one_of(
        st.lists(inner, max_size=4),
        st.dictionaries(st.one_of(st.sampled_from(WORDS), SCALARS.filter(lambda x: x == x)), inner, max_size=4),
    ),
    max_leaves=12,
)
PRESETS = [Pipeline.load(name).to_dict() for name in yaml_form.presets()]
PRESETS.append(Pipeline.from_yaml(SMALL).to_dict())
FREE = {"deadline": None, "suppress_health_check": list(HealthCheck)}


def mutated(form: Any, seed: int, value: Any) -> Any:
    """A copy of a pipeline's form with one place, chosen by ``seed``, replaced, removed, doubled or renamed."""
    rng, form = random.Random(seed), copy.deepcopy(form)
    at = form
    while True:
        keys = list(at) if isinstance(at, dict) else list(range(len(at)))
        if not keys:
            return form
        key = rng.choice(keys)
        if isinstance(at[key], (dict, list)) and rng.random() < 0.75:
            at = at[key]
            continue
        act = rng.randrange(4)
        if act == 0 or (act == 3 and not isinstance(at, dict)):
            at[key] = value
        elif act == 1:
            del at[key]
        elif act == 2:
            at[key] = [at[key], at[key]]
        else:
            at[rng.choice(WORDS)] = at.pop(key)
        return form


def check(text: str) -> None:
    """Only ConfigError, or a pipeline that its own forms restore."""
    try:
        pipeline = Pipeline.from_yaml(text)
    except ConfigError:
        return
    assert Pipeline.from_dict(pipeline.to_dict()) == pipeline
    assert Pipeline.from_yaml(pipeline.to_yaml()).hash == pipeline.hash
    json.dumps(pipeline.to_dict(), allow_nan=True)


@given(st.text(max_size=200))
@settings(max_examples=150, **FREE)
def test_any_text(text: str) -> None:
    check(text)


@given(st.lists(st.sampled_from([*WORDS, *MARKS]), max_size=30))
@settings(max_examples=200, **FREE)
def test_any_text_that_looks_like_yaml(parts: list[str]) -> None:
    check("".join(parts))


@given(VALUES)
@settings(max_examples=150, **FREE)
def test_any_structure(form: Any) -> None:
    for wrapped in (form, {"steps": form}, {"steps": [form]}):
        with suppress(ConfigError):
            Pipeline.from_dict(wrapped)


@given(st.sampled_from(PRESETS), st.integers(0, 2**32), SCALARS | VALUES)
@settings(max_examples=300, **FREE)
def test_any_mutation_of_a_preset(form: dict[str, Any], seed: int, value: Any) -> None:
    try:
        pipeline = Pipeline.from_dict(mutated(form, seed, value))
    except ConfigError:
        return
    check(pipeline.to_yaml())
