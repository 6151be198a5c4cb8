"""``fastprep metal``: what it writes, what it says, and that one bad scan stops nothing."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import fastprep as fp
from cohorts import cli, files_of, strict
from fastprep.cohort import metal
from fastprep.core.errors import WriteError
from fastprep.core.threads import set_num_threads
from fastprep.testing import metal_phantom
from fastprep.testing.phantoms import write_ct_series

pytest.importorskip("matplotlib")

Text = pytest.CaptureFixture[str]
SMALL: Any = ((24, 48, 52), (8.0, 7.5, 7.0))
HIP = metal_phantom(*SMALL, body="hip")
CLEAN = metal_phantom(*SMALL, implants=0)


@pytest.fixture(autouse=True)
def _threads() -> Iterator[None]:
    yield
    set_num_threads(None)


@pytest.fixture
def scans(tmp_path: Path) -> Path:
    folder = tmp_path / "scans"
    folder.mkdir()
    fp.save(HIP.scan, folder / "hip.nii.gz")
    fp.save(CLEAN.scan, folder / "clean.nii.gz")
    return folder


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "out"


def names(*cases: str, mask: bool = False, picture: bool = True) -> set[str]:
    ends = ("metal.json", *(("metal.png",) if picture else ()), *(("metal.nii.gz",) if mask else ()))
    return {f"{case}_{end}" for case in cases for end in ends}


def test_writes_what_the_function_finds(scans: Path, out: Path, capsys: Text) -> None:
    words = ("--sweep", "2000,3000,3500", "--mask", "--min-volume", 20, "--connectivity", 6)
    assert cli("metal", scans, "-o", out, *words) == 0
    said, err = capsys.readouterr()
    assert files_of(out) == names("hip", "clean", mask=True) and err == ""
    report = fp.detect_metal(fp.load(scans / "hip.nii.gz"), min_volume_mm3=20, connectivity=6)
    record = strict(out / "hip_metal.json")
    assert record["metal"] == report.to_dict()
    assert record["parameters"] == {
        "threshold": 3000.0, "min_volume_mm3": 20.0, "connectivity": 6, "sweep": [2000.0, 3000.0, 3500.0],
    }  # fmt: skip
    assert [row["requested"] for row in record["sweep"]] == [2000, 3000, 3500]
    assert [row["volume_mm3"] for row in record["sweep"]] == [report.volume_mm3] * 3
    (made_from,) = record["sources"]
    assert made_from["name"] == "hip.nii.gz" and len(made_from["sha256"]) == 64
    assert record["versions"]["fastprep"] == record["version"] == fp.__version__
    assert set(record["seconds"]) == {"hash", "read", "metal", "artifact", "sweep", "write"}
    assert record["grid"]["axcodes"] == "SPL" and record["dtype"] == "int16"
    mask = fp.load(out / "hip_metal.nii.gz")
    assert mask.grid.same_as(HIP.scan.grid)
    np.testing.assert_array_equal(mask.array, HIP.labels.array > 0)
    empty = strict(out / "clean_metal.json")["metal"]
    assert (empty["count"], empty["severity"], empty["volume_mm3"]) == (0, "none", 0)
    first, second, head, *rows = said.splitlines()
    assert first == "clean: no metal above 3000 HU"
    assert second.startswith("hip: 3 implants, ") and f"artifact {report.severity} (" in second
    assert head.split() == ["mm3", "(implants)", "above", "2000", "HU", "3000", "HU", "3500", "HU"]
    assert rows[0].split() == ["clean", *["0", "(0)"] * 3] and rows[1].startswith("hip  ") and "(3)" in rows[1]


def test_a_dicom_series_an_adaptive_threshold_and_labels(tmp_path: Path, out: Path) -> None:
    folder = tmp_path / "in"
    write_ct_series(HIP.scan, folder / "series")
    fp.save(HIP.labels, folder / "hip_seg.nii.gz")
    words = ("--threshold", "adaptive", "--labels", "*_seg.nii.gz", "--no-picture")
    assert cli("metal", folder, "-o", out, *words) == 0
    assert files_of(out) == names("series", picture=False)
    record = strict(out / "series_metal.json")
    expected = fp.detect_metal(fp.load(folder / "series"), threshold="adaptive")
    assert record["metal"] == expected.to_dict() and record["metal"]["requested"] == "adaptive"
    assert record["scan"]["format"] == "dicom" and record["sources"][0]["files"] == 24


def test_done_is_not_done_again(scans: Path, out: Path, capsys: Text) -> None:
    words = ("metal", scans / "hip.nii.gz", "-o", out)

    def times() -> dict[str, int]:
        return {name: (out / name).stat().st_mtime_ns for name in files_of(out)}

    def run(*more: object) -> tuple[str, bool]:
        before = times()
        assert cli(*words, *more) == 0
        return capsys.readouterr().out, times() == before

    assert cli(*words) == 0
    first = capsys.readouterr().out
    assert run() == (first.replace("hip: ", "hip: unchanged, "), True)
    assert run("--no-picture")[1] is True
    assert run("--overwrite") == (first, False)
    assert run("--mask")[1] is False and files_of(out) == names("hip", mask=True)
    assert run("--threshold", 2500)[1] is False
    assert files_of(out) == names("hip"), "a mask of another threshold does not stay"
    fp.save(CLEAN.scan, scans / "hip.nii.gz")
    assert run("--threshold", 2500) == ("hip: no metal above 2500 HU\n", False)
    for text in ("", "[]", '{"format": 1}'):
        (out / "hip_metal.json").write_text(text)
        assert cli(*words) == 0
        assert strict(out / "hip_metal.json")["metal"]["count"] == 0


def test_failures_do_not_stop_the_others(scans: Path, out: Path, capsys: Text) -> None:
    x = HIP.scan.array
    bad = {
        "normalised": (x.astype(np.float32) + 1024) / 4095,
        "infinite": np.where(x > 3000, np.inf, x).astype(np.float32),
    }
    for name, array in bad.items():
        fp.save(fp.Image(array, HIP.scan.grid), scans / f"{name}.nii.gz")
    fp.save(fp.Image(np.stack([x, x]), HIP.scan.grid), scans / "many.nii.gz")
    (scans / "corrupt.nii.gz").write_bytes(b"no scan at all" * 99)
    assert cli("metal", scans, "-o", out, "--no-picture") == 1
    said, err = capsys.readouterr()
    assert files_of(out) == names("hip", "clean", picture=False)
    assert said.count("\n") == 2 and "hip: 3 implants" in said
    lines = dict(line.removeprefix("failed ").split(": ", 1) for line in err.splitlines())
    assert set(lines) == {*bad, "many", "corrupt"}
    assert "look normalised" in lines["normalised"] and "infinite" in lines["infinite"]
    assert "expected one volume" in lines["many"]


def test_another_modality_is_refused(tmp_path: Path, out: Path, capsys: Text) -> None:
    from cohorts import dicom

    dicom(tmp_path / "mr", Modality="MR")
    assert cli("metal", tmp_path / "mr", "-o", out, "--no-picture") == 1
    assert "'MR': expected a CT" in capsys.readouterr().err and files_of(out) == set()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("{scans}/nowhere", "-o", "{out}"), "nowhere: no such file or folder"),
        (("{scans}",), "Missing option '-o'"),
        (("-o", "{out}"), "Missing argument 'INPUT...'"),
        (("{scans}", "-o", "{out}", "--threshold", "high"), "'high': expected HU, or adaptive"),
        (("{scans}", "-o", "{out}", "--threshold", "2000,3000"), "'2000,3000': expected HU, or adaptive"),
        (("{scans}", "-o", "{out}", "--threshold", "nan"), "'nan': expected HU, or adaptive"),
        (("{scans}", "-o", "{out}", "--sweep", "2000,x"), "'2000,x': expected HU, as 2000,2500,3000"),
        (("{scans}", "-o", "{out}", "--connectivity", "7"), "connectivity=7"),
        (("{scans}", "-o", "{out}", "--min-volume", "-1"), "--min-volume"),
        (("{scans}", "-o", "{scans}"), "also an input"),
        (("{scans}", "-o", "{out}", "--labels", "*"), "2 label maps and no scan"),
        (("{scans}", "-o", "/proc/fastprep"), "/proc/fastprep"),
    ],
)
def test_errors_are_one_line_and_leave_nothing(
    scans: Path, out: Path, capsys: Text, words: tuple[str, ...], message: str
) -> None:
    before = files_of(scans.parent)
    assert cli("metal", *(word.format(scans=scans, out=out) for word in words)) == 2
    said, err = capsys.readouterr()
    assert err.startswith("error: ") and err.count("\n") == 1, err
    assert message in err and said == ""
    assert files_of(scans.parent) == before and not out.exists()


def test_without_matplotlib_there_is_no_picture(
    scans: Path, out: Path, capsys: Text, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    assert cli("metal", scans, "-o", out) == 2
    assert "pip install fastprep[report]" in capsys.readouterr().err and not out.exists()
    assert cli("metal", scans, "-o", out, "--no-picture") == 0
    assert files_of(out) == names("hip", "clean", picture=False)


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_ends_it_between_stages(
    scans: Path, out: Path, capfd: Text, monkeypatch: pytest.MonkeyPatch, number: int, status: int
) -> None:
    """The scan that was done stays; of the one at work nothing is left."""
    usual, seen = fp.detect_metal, []

    def interrupting(*args: Any, **how: Any) -> Any:
        seen.append(args)
        if len(seen) == 2:
            os.kill(os.getpid(), number)
        return usual(*args, **how)

    monkeypatch.setattr(fp, "detect_metal", interrupting)
    assert cli("metal", scans, "-o", out, "--no-picture") == status
    said, err = capfd.readouterr()
    assert said == "clean: no metal above 3000 HU\n" and err.strip().startswith("stopping:")
    assert files_of(out) == names("clean", picture=False)


def test_a_failed_write_leaves_no_record(scans: Path, out: Path, capsys: Text, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> None:
        raise WriteError(28, "No space left on device", "hip_metal.png")

    words = ("metal", scans / "hip.nii.gz", "-o", out, "--mask")
    assert cli(*words) == 0
    with monkeypatch.context() as patch:
        patch.setattr(metal, "metal_picture", full)
        assert cli(*words, "--overwrite") == 1
    assert "cannot be written: No space left" in capsys.readouterr().err
    assert files_of(out) == {"hip_metal.nii.gz"}
    assert cli(*words) == 0
    assert "unchanged" not in capsys.readouterr().out and files_of(out) == names("hip", mask=True)
