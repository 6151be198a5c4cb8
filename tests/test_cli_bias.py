"""``fastprep bias``: what it writes, what it says, and that nothing half-written is left."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import fastprep as fp
from cohorts import cli, dicom, files_of, strict
from fastprep.cohort import bias
from fastprep.core.errors import WriteError
from fastprep.core.threads import set_num_threads
from fastprep.qc import field_correlation, tissue_cv
from fastprep.testing import bias_phantom

pytest.importorskip("matplotlib")
Image = pytest.importorskip("PIL.Image")

Text = pytest.CaptureFixture[str]
HEAD = bias_phantom((40, 46, 40), (4.4, 4.4, 4.4))
NAMES = {"head_corrected.nii.gz", "head_field.nii.gz", "head_bias.png", "head_bias.json"}
QUICK = ("--shrink", 2, "--iterations", "8,8")


@pytest.fixture(autouse=True)
def _threads() -> Iterator[None]:
    yield
    set_num_threads(None)


@pytest.fixture
def scan(tmp_path: Path) -> Path:
    path = tmp_path / "scans" / "head.nii.gz"
    path.parent.mkdir()
    fp.save(HEAD.image, path)
    return path


@pytest.fixture
def brain(tmp_path: Path) -> Path:
    path = tmp_path / "brain.nii.gz"
    fp.save(HEAD.image.with_array(HEAD.mask.astype(np.uint8)), path)
    return path


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "out"


@pytest.mark.parametrize("method", bias.METHODS)
def test_writes_four_files_that_agree(method: str, scan: Path, brain: Path, out: Path, capsys: Text) -> None:
    assert cli("bias", scan, "-o", out, "--method", method, "--mask", brain) == 0
    said, err = capsys.readouterr()
    assert said.startswith(f"head: {method}, ") and said.count("\n") == 1 and err == ""
    assert files_of(out) == NAMES
    corrected, field = fp.load(out / "head_corrected.nii.gz"), fp.load(out / "head_field.nii.gz")
    assert corrected.grid.same_as(HEAD.image.grid) and field.grid.same_as(HEAD.image.grid)
    np.testing.assert_allclose(corrected.array * field.array, HEAD.image.array, rtol=1e-5, atol=1e-4)
    assert (field.array > 0).all()
    record = strict(out / "head_bias.json")
    assert record["method"] == method and record["mask"] == "file"
    assert [s["name"] for s in record["sources"]] == ["head.nii.gz", "brain.nii.gz"]
    assert all(len(s["sha256"]) == 64 for s in record["sources"])
    assert record["inside"]["voxels"] == HEAD.mask.sum()
    gain = field.array[HEAD.mask].astype(np.float64)
    assert record["geometric_mean"] == pytest.approx(np.exp(np.log(gain).mean()), rel=1e-5)
    assert record["field"]["cv"] == pytest.approx(gain.std() / gain.mean(), rel=1e-4)
    for name, x in (("before", HEAD.image), ("after", corrected)):
        assert record["cv"][name] == pytest.approx(tissue_cv(x, HEAD.mask)[1], rel=1e-5)
    assert record["grid"]["axcodes"] == "SAR" and record["versions"]["fastprep"] == fp.__version__
    assert set(record["seconds"]) == {"hash", "read", "mask", "field", "statistics", "write"}


def test_is_the_function_with_the_options_given(scan: Path, brain: Path, out: Path) -> None:
    words = ("--shrink", 2, "--iterations", "9,7", "--threshold", 0.002, "--spline-spacing", 120)
    assert cli("bias", scan, "-o", out, "--mask", brain, *words) == 0
    how: dict[str, Any] = {"shrink_factor": 2, "iterations": (9, 7), "convergence_threshold": 0.002}
    expected = fp.n4(fp.load(scan), HEAD.mask, spline_spacing=120.0, **how)
    np.testing.assert_array_equal(fp.load(out / "head_corrected.nii.gz").array, expected.corrected.array)
    record = strict(out / "head_bias.json")
    assert tuple(record["iterations"]) == expected.iterations
    assert record["convergence"] == pytest.approx(expected.convergence)
    assert record["parameters"] == {
        "shrink_factor": 2, "iterations": [9, 7], "convergence_threshold": 0.002, "spline_spacing": 120.0,
        "convergence": "exact", "bias_field_fwhm": 0.15, "wiener_noise": 0.01, "histogram_bins": 200,
        "control_points": 4, "spline_order": 3,
    }  # fmt: skip
    truth = fp.load(out / "head_field.nii.gz")
    assert field_correlation(np.log(truth.array), HEAD.log_field, HEAD.mask) > 0.9


def test_one_level_has_one_count(scan: Path, brain: Path, out: Path) -> None:
    words = ("--method", "polynomial", "--order", 2, "--iterations", 4, "--threshold", 1e-9)
    assert cli("bias", scan, "-o", out, "--mask", brain, *words) == 0
    record = strict(out / "head_bias.json")
    assert record["iterations"] == [4]
    assert {"order": 2, "iterations": 4, "convergence_threshold": 1e-9}.items() <= record["parameters"].items()
    expected = fp.polynomial_bias(fp.load(scan), HEAD.mask, order=2, iterations=4, convergence_threshold=1e-9)
    np.testing.assert_array_equal(fp.load(out / "head_corrected.nii.gz").array, expected.corrected.array)


@pytest.mark.parametrize(("mask", "inside"), [((), "otsu"), (("--mask", "otsu"), "otsu"), (("--mask", "none"), "none")])
def test_masks_by_name(mask: tuple[str, ...], inside: str, scan: Path, out: Path) -> None:
    assert cli("bias", scan, "-o", out, *mask, *QUICK) == 0
    record = strict(out / "head_bias.json")
    expected = HEAD.image.array.size if inside == "none" else int(fp.foreground_mask(HEAD.image).array.sum())
    assert record["mask"] == inside and record["inside"]["voxels"] == expected
    assert len(record["sources"]) == 1


def test_done_is_not_done_again(scan: Path, out: Path, capsys: Text) -> None:
    words = ("bias", scan, "-o", out, *QUICK)

    def times() -> dict[str, int]:
        return {name: (out / name).stat().st_mtime_ns for name in NAMES}

    def run(*more: object) -> tuple[str, bool]:
        before = times()
        assert cli(*words, *more) == 0
        return capsys.readouterr().out, times() == before

    assert cli(*words) == 0
    first = capsys.readouterr().out
    assert run() == (first.replace("head: ", "head: unchanged, "), True)
    assert run("--overwrite") == (first, False)
    assert run("--threshold", 0.01)[1] is False
    assert run()[1] is False, "the parameters are others again"
    fp.save(HEAD.clean, scan)
    assert run()[1] is False
    (out / "head_bias.png").unlink()
    assert cli(*words) == 0 and files_of(out) == NAMES
    for text in ("", "[]", '{"format": 1}'):
        (out / "head_bias.json").write_text(text)
        assert cli(*words) == 0
        assert strict(out / "head_bias.json")["method"] == "n4"


def test_a_dicom_folder_and_a_picture(tmp_path: Path, out: Path) -> None:
    dicom(tmp_path / "series", slices=9)
    assert cli("bias", tmp_path / "series", "-o", out, "--mask", "none", "--shrink", 1, "--iterations", "3") == 0
    record = strict(out / "series_bias.json")
    assert record["scan"]["format"] == "dicom" and record["sources"][0]["files"] == 9
    stored = fp.load(tmp_path / "series")
    field = fp.load(out / "series_field.nii.gz").array
    np.testing.assert_allclose(
        fp.load(out / "series_corrected.nii.gz").array * field, stored.array, rtol=1e-4, atol=1e-2
    )
    flat = bias_phantom((60, 50), (3.3, 3.3)).image
    fp.save(flat.with_array(np.clip(flat.array / 8, 0, 255).astype(np.uint8)), tmp_path / "flat.png")
    assert cli("bias", tmp_path / "flat.png", "-o", out, *QUICK) == 0
    assert fp.load(out / "flat_corrected.nii.gz").array.size == 3000


def test_warnings_are_said_and_kept(tmp_path: Path, out: Path, capsys: Text) -> None:
    pixels = bias_phantom((60, 50), (3.3, 3.3)).image.array / 8
    Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(tmp_path / "flat.png")
    assert cli("bias", tmp_path / "flat.png", "-o", out, *QUICK) == 0
    (warning,) = strict(out / "flat_bias.json")["warnings"]
    assert "1 mm" in warning
    assert capsys.readouterr().err == f"warning: {warning}\n"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("{scans}/nowhere", "-o", "{out}"), "nowhere: no such file or folder"),
        (("{scan}",), "Missing option '-o'"),
        (("{scan}", "-o", "{out}", "--method", "n3"), "'n3'"),
        (("{scan}", "-o", "{out}", "--mask", "{scans}/nowhere"), "nowhere: no such file or folder"),
        (("{scan}", "-o", "{out}", "--mask", "{small}"), "mask on Grid(shape=(20, 46, 40)"),
        (("{scan}", "-o", "{out}", "--mask", "{empty}"), "inside the mask"),
        (("{scan}", "-o", "{out}", "--sigma", "20"), "--sigma is for homomorphic and gaussian, not for n4"),
        (("{scan}", "-o", "{out}", "--method", "gaussian", "--spline-spacing", "9"), "--spline-spacing is for n4"),
        (("{scan}", "-o", "{out}", "--iterations", "50,x"), "'50,x': expected whole numbers"),
        (("{scan}", "-o", "{out}", "--iterations", "0"), "iterations=(0,)"),
        (("{scan}", "-o", "{out}", "--method", "polynomial", "--iterations", "9,9"), "polynomial has one level"),
        (("{scan}", "-o", "{out}", "--shrink", "0"), "--shrink"),
        (("{scan}", "-o", "{scan}"), "also an input"),
        (("{corrupt}", "-o", "{out}"), "corrupt.nii.gz"),
        (("{cut}", "-o", "{out}"), "cut.nii.gz"),
        (("{text}", "-o", "{out}"), "no scan found"),
        (("{nan}", "-o", "{out}"), "NaN"),
        (("{flat}", "-o", "{out}"), "x is constant"),
        (("{many}", "-o", "{out}"), "expected one"),
        (("{series}", "-o", "{out}"), "2 scans"),
        (("{scan}", "-o", "/proc/fastprep"), "/proc/fastprep"),
        (("{scan}", "-o", "{text}"), "notes.txt"),
    ],
)
def test_errors_are_one_line_and_leave_nothing(
    scan: Path, tmp_path: Path, out: Path, capsys: Text, words: tuple[str, ...], message: str
) -> None:
    x = HEAD.image.array
    volumes = {
        "small": HEAD.image.array[:20],
        "empty": np.zeros(x.shape, np.uint8),
        "nan": np.where(x > 600, np.nan, x),
        "flat": np.ones(x.shape, np.float32),
    }
    places = {
        "scan": scan,
        "scans": scan.parent,
        "out": out,
        "text": tmp_path / "notes.txt",
        "series": tmp_path / "two",
    }
    for name, array in volumes.items():
        places[name] = tmp_path / f"{name}.nii.gz"
        fp.save(fp.Image(array, fp.Grid(array.shape, HEAD.image.grid.affine)), places[name])
    for name in ("corrupt", "cut", "many"):
        places[name] = tmp_path / f"{name}.nii.gz"
    places["corrupt"].write_bytes(b"no scan at all" * 99)
    places["cut"].write_bytes(scan.read_bytes()[:9000])
    fp.save(fp.Image(np.stack([x, x]), HEAD.image.grid), places["many"])
    places["text"].write_text("notes")
    for name in ("a", "b"):
        dicom(tmp_path / "two" / name)
    before = files_of(tmp_path)
    assert cli("bias", *(word.format(**places) for word in words)) == 2
    said, err = capsys.readouterr()
    assert err.startswith("error: ") and err.count("\n") == 1, err
    assert message in err and said == ""
    assert files_of(tmp_path) == before


def test_without_matplotlib_nothing_is_begun(
    scan: Path, out: Path, capsys: Text, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    assert cli("bias", scan, "-o", out) == 2
    assert "pip install fastprep[report]" in capsys.readouterr().err
    assert not out.exists()


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_ends_it_within_an_iteration(
    scan: Path, out: Path, capfd: Text, monkeypatch: pytest.MonkeyPatch, number: int, status: int
) -> None:
    seen = []

    @contextmanager
    def interrupting(_most: object) -> Iterator[Callable[[int, int, float], None]]:
        def show(level: int, iteration: int, change: float) -> None:
            seen.append((level, iteration))
            if len(seen) == 3:
                os.kill(os.getpid(), number)

        yield show

    monkeypatch.setattr("fastprep.cli.field_progress", interrupting)
    assert cli("bias", scan, "-o", out, *QUICK, "--threshold", 0) == status
    assert seen == [(0, 1), (0, 2), (0, 3)]
    said, err = capfd.readouterr()
    assert said == "" and err.strip().startswith("stopping:")
    assert not out.exists()


def test_a_failed_write_leaves_no_record(scan: Path, out: Path, capsys: Text, monkeypatch: pytest.MonkeyPatch) -> None:
    assert cli("bias", scan, "-o", out, *QUICK) == 0

    def full(*_: object, **__: object) -> None:
        raise WriteError(28, "No space left on device", "head_bias.png")

    with monkeypatch.context() as patch:
        patch.setattr(bias, "bias_picture", full)
        assert cli("bias", scan, "-o", out, *QUICK, "--overwrite") == 2
    assert "cannot be written: No space left" in capsys.readouterr().err
    assert files_of(out) == NAMES - {"head_bias.json"}
    assert cli("bias", scan, "-o", out, *QUICK) == 0
    assert "unchanged" not in capsys.readouterr().out and files_of(out) == NAMES


def test_the_bar_shows_on_a_terminal(scan: Path, out: Path, monkeypatch: pytest.MonkeyPatch, capsys: Text) -> None:
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    monkeypatch.setenv("TERM", "xterm")
    assert cli("bias", scan, "-o", out, *QUICK) == 0
    assert capsys.readouterr().out.startswith("head: n4, ")
