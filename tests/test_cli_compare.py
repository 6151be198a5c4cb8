"""``fastprep compare`` and ``fastprep clahe-sweep``: what they say and write, and what they refuse."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import fastprep as fp
from cohorts import cli, files_of, strict
from fastprep import Grid, Image
from fastprep.core.threads import set_num_threads
from fastprep.qc import compare, contrast
from fastprep.testing import xray_phantom

pytest.importorskip("matplotlib")

Text = pytest.CaptureFixture[str]
BEFORE = xray_phantom((96, 96), (3.7, 3.7), seed=1).image


@pytest.fixture(autouse=True)
def _threads() -> Iterator[None]:
    yield
    set_num_threads(None)


@pytest.fixture
def scans(tmp_path: Path) -> Path:
    """A volume, it with half of its noise, what is inside, and the same on another grid."""
    folder = tmp_path / "scans"
    folder.mkdir()
    rng = np.random.default_rng(0)
    truth = np.where(np.indices((10, 24, 26))[2] < 13, 100.0, 300.0)
    noise = rng.normal(0, 20, truth.shape)
    grid = Grid.from_spacing(truth.shape, (3, 1, 1))
    for name, x in (("truth", truth), ("raw", truth + noise), ("clean", truth + noise / 2)):
        fp.save(Image(x.astype(np.float32), grid), folder / f"{name}.nii.gz")
    fp.save(Image((truth > 200).astype(np.uint8), grid, kind="label"), folder / "mask.nii.gz")
    fp.save(Image(truth.astype(np.float32), Grid.from_spacing(truth.shape, (3, 1, 1.5))), folder / "moved.nii.gz")
    return folder


def test_compares_what_the_function_compares(scans: Path, tmp_path: Path, capsys: Text) -> None:
    raw, clean, truth, mask = (scans / f"{name}.nii.gz" for name in ("raw", "clean", "truth", "mask"))
    out, record = tmp_path / "out" / "report.png", tmp_path / "out" / "report.json"
    how = ("--truth", truth, "--mask", mask, "--data-range", 400)
    assert cli("compare", raw, clean, "-o", out, *how, "--json", record) == 0
    said, err = capsys.readouterr()
    assert err == "" and files_of(out.parent) == {"report.png", "report.json"}
    images: Any = [fp.load(path) for path in (raw, clean, truth, mask)]
    found = compare(*images[:2], truth=images[2], mask=images[3], data_range=400)
    assert said.startswith(f"{found}\n") and "data range 400, as given" in said
    form = strict(record)
    assert form["errors"]["PSNR, dB"] == {"before": found["PSNR"].before, "after": found["PSNR"].after}
    assert form["figures"]["noise"]["gain"] == found.noise_gain == pytest.approx(0.5, abs=0.05)
    assert {role: one["name"] for role, one in form["sources"].items()} == {
        "before": "raw.nii.gz", "after": "clean.nii.gz", "truth": "truth.nii.gz", "mask": "mask.nii.gz",
    }  # fmt: skip
    assert all(len(one["sha256"]) == 64 for one in form["sources"].values())
    assert form["voxels"] == int(images[3].array.sum()) and form["data_range_given"] is True
    # The same words, the same picture.
    first = out.read_bytes()
    assert cli("compare", raw, clean, "-o", out, *how) == 0
    assert out.read_bytes() == first


def test_a_range_of_its_own(scans: Path, tmp_path: Path, capsys: Text) -> None:
    raw = scans / "raw.nii.gz"
    assert cli("compare", raw, scans / "clean.nii.gz", "-o", tmp_path / "a.png", "--json", tmp_path / "a.json") == 0
    said = capsys.readouterr().out
    spread = float(np.ptp(fp.load(raw).array))
    assert f"data range {spread:g}, that of before; 6240 voxels" in said
    form = strict(tmp_path / "a.json")
    # What before itself gets: no JSON has infinity.
    assert form["errors"]["PSNR, dB"]["before"] is None and form["errors"]["SSIM"]["before"] == pytest.approx(1)


def test_refusals(scans: Path, tmp_path: Path, capsys: Text) -> None:
    raw, moved, out = scans / "raw.nii.gz", scans / "moved.nii.gz", tmp_path / "a.png"
    for words, told in (
        ((raw, moved, "-o", out), "raw.nii.gz is on Grid"),
        ((raw, moved, "-o", out), "after moved.nii.gz on Grid"),
        ((raw, raw, "-o", out, "--mask", moved), "mask moved.nii.gz on Grid"),
        ((raw, raw, "-o", tmp_path / "a.pdf"), "expected a .png file"),
        ((raw, raw, "-o", out, "--data-range", 10), "data_range=10.0: a goes from"),
        ((raw, scans, "-o", out), "5 scans"),
        ((raw, scans / "none.nii.gz", "-o", out), "none.nii.gz"),
    ):
        assert cli("compare", *words) == 2
        err = capsys.readouterr().err
        assert err.startswith("error: ") and told in err
    assert not out.exists()


def test_a_sweep(tmp_path: Path, capsys: Text) -> None:
    path, out = tmp_path / "chest.nii.gz", tmp_path / "out"
    fp.save(BEFORE, path)
    assert cli("clahe-sweep", path, "-o", out, "--clip", "1,3.5", "--tiles", "2,8", "--bins", 128) == 0
    said, err = capsys.readouterr()
    assert err == "" and {"sweep.png", "sweep.json"} <= files_of(out)
    head, nothing, first, *rows = said.splitlines()
    assert head.startswith("gain of") and nothing.startswith("do nothing") and first.startswith("clip 1, 2 tiles")
    assert any(row.startswith("clip 3.5, 8 tiles") for row in rows) and said.count("  chosen\n") == 1
    form = strict(out / "sweep.json")
    after = fp.clahe(BEFORE, clip_limit=3.5, tiles=8, bins=128)
    (row,) = (row for row in form["settings"] if (row["clip_limit"], row["tiles"]) == (3.5, 8))
    assert row["figures"]["contrast"]["value"] == pytest.approx(contrast(after))
    assert form["bins"] == 128 and form["why"] == fp.clahe_parameters(BEFORE).why
    assert form["sources"][0]["name"] == "chest.nii.gz"


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("--clip", "1,x"), "expected clip limits"),
        (("--tiles", "2.5"), "expected numbers of tiles"),
        (("--tiles", "0"), "expected numbers of tiles"),
        (("--clip", "-1"), "clip_limit"),
    ],
)
def test_sweeps_that_are_refused(words: tuple[str, str], told: str, tmp_path: Path, capsys: Text) -> None:
    path = tmp_path / "chest.nii.gz"
    fp.save(BEFORE, path)
    assert cli("clahe-sweep", path, "-o", tmp_path / "out", *words) == 2
    assert told in capsys.readouterr().err
