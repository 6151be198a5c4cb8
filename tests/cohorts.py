"""Small cohorts on disk, a pipeline that takes milliseconds on them, and the command line as users call it."""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dicom_files import ramp_volume, write_series
from fastprep.cli import main
from fastprep.core.grid import Grid
from fastprep.core.image import Image
from fastprep.io import save

SMALL = """\
name: small
modality: CT
steps:
  - reorient: {axcodes: SPL}
  - resample: {spacing: [2, 1, 1]}
  - window: {preset: lung}
  - crop_or_pad: {shape: [8, 12, 12]}
"""
ROOT = Path(__file__).resolve().parents[1]


def nifti(path: Path, *, seed: int = 0, shape: tuple[int, int, int] = (6, 10, 9)) -> Path:
    """A small CT as NIfTI: int16, 2 x 1 x 1 mm."""
    path.parent.mkdir(parents=True, exist_ok=True)
    values = np.random.default_rng(seed).integers(-1400, 400, shape).astype(np.int16)
    save(Image(values, Grid.from_spacing(shape, (2, 1, 1))), path)
    return path


def dicom(folder: Path, *, slices: int = 5, **how: Any) -> list[Path]:
    """A small CT series of stored values with an intercept of -1024."""
    return write_series(folder, ramp_volume((slices, 8, 6)), **{"RescaleSlope": 1, "RescaleIntercept": -1024, **how})


def pipeline_file(folder: Path, text: str = SMALL) -> Path:
    path = folder / "small.yaml"
    path.write_text(text)
    return path


def cli(*words: object) -> int:
    """The exit status of ``fastprep words...`` in this process."""
    return main([str(word) for word in words])


def program(code: str, *arguments: object, **how: Any) -> subprocess.Popen[str]:
    """A Python process with pipes on its output, for what must be killed."""
    words = [sys.executable, "-c", code, *map(str, arguments)]
    environment = {**os.environ, "PYTHONWARNINGS": "error"}
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    return subprocess.Popen(words, cwd=ROOT, env=environment, **pipes, **how)


def strict(path: Path) -> Any:
    """The JSON of a file; NaN and Infinity, which are no JSON, fail."""

    def refuse(token: str) -> None:
        pytest.fail(f"{path}: {token} is no JSON")

    return json.loads(path.read_text("utf-8"), parse_constant=refuse)


def failures(output: Path) -> dict[str, dict[str, str]]:
    """The rows of failures.csv by case."""
    path = output / "failures.csv"
    if not path.exists():
        return {}
    with path.open(newline="") as file:
        return {row["case"]: row for row in csv.DictReader(file)}


def records(output: Path) -> list[dict[str, Any]]:
    """The records of cases in the journal, in their order."""
    lines = (output / ".fastprep" / "journal.jsonl").read_text().splitlines()
    return [record for record in map(json.loads, lines) if "case" in record]


def files_of(folder: Path) -> set[str]:
    """Every file below a folder, but those of its state."""
    names = (p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file())
    return {name for name in names if not name.startswith(".fastprep/")}


def assert_whole(output: Path) -> set[str]:
    """No temporaries, and every volume has its sidecar and every sidecar its volume; the names of the cases."""
    names = files_of(output)
    assert not [n for n in names if ".fastprep-" in n]
    volumes = {n.removesuffix(".nii.gz") for n in names if n.endswith(".nii.gz")}
    sidecars = {n.removesuffix(".json") for n in names if n.endswith(".json")} - {"dataset_description"}
    assert volumes == sidecars
    return volumes
