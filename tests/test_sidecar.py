"""Sidecars: strict JSON that says what was done, undoes it, and names no one."""

from __future__ import annotations

import gzip
import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

import fastprep
from cohorts import SMALL, cli, dicom, nifti, pipeline_file, strict
from dicom_files import Dataset, Items, ramp_volume, write_series
from fastprep.cohort.cases import find_cases
from fastprep.cohort.runner import run_cohort
from fastprep.cohort.work import Settings
from fastprep.core.grid import Grid
from fastprep.core.image import Image
from fastprep.core.ramp import Ramp
from fastprep.core.threads import set_num_threads
from fastprep.io import load, save
from fastprep.pipeline import Pipeline
from fastprep.pipeline.run import Run
from fastprep.pipeline.sidecar import sidecar, to_json
from fastprep.pipeline.statistics import statistics, unclipped

KEYS = [
    "format", "sources", "scan", "pipeline", "pipeline_sha256", "plan", "barriers", "grid", "shape", "dtype", "kind",
    "fill", "intensity", "warnings", "seconds", "threads", "device", "versions",
]  # fmt: skip


def one(scans: Path, output: Path, text: str = SMALL, **how: Any) -> dict[str, Any]:
    """The sidecar of the one scan in a folder."""
    found = find_cases([scans], output=output)
    run_cohort(found, Settings(Pipeline.from_yaml(text), output, **how))
    (case,) = found.cases
    record: dict[str, Any] = strict(output / f"{case.id}.json")
    return record


def test_it_says_what_was_done(tmp_path: Path) -> None:
    files = dicom(tmp_path / "alpha")
    record = one(tmp_path / "alpha", tmp_path / "out")
    assert list(record) == KEYS
    pipeline = Pipeline.from_yaml(SMALL)
    assert Pipeline.from_dict(record["pipeline"]) == pipeline
    assert record["pipeline_sha256"] == pipeline.hash
    (made_from,) = record["sources"]
    digests = sorted(hashlib.sha256(p.read_bytes()).digest() for p in files)
    assert made_from == {
        "name": "alpha",
        "files": 5,
        "size": sum(p.stat().st_size for p in files),
        "sha256": hashlib.sha256(b"".join(digests)).hexdigest(),
    }
    scan = load(tmp_path / "alpha")
    before, after = record["grid"]["before"], record["grid"]["after"]
    assert Grid.from_dict(before) == scan.grid
    assert before["axcodes"] == "SPL"
    np.testing.assert_array_equal(before["affine_lps"], np.diag([-1, -1, 1, 1]) @ scan.grid.affine)
    assert after["spacing"] == [2, 1, 1]
    assert record["shape"] == {"before": [5, 8, 6], "after": [8, 12, 12]}
    assert record["dtype"] == {"before": "uint16", "after": "float32"}
    assert record["fill"]["physical"] == -1024
    assert record["fill"]["output"] == [pytest.approx((-1024 + 1350) / 1500)]
    assert set(record["seconds"]) == {"read", "hash", "pass 1", "statistics", "write", "total"}
    assert {"fastprep", "python", "numpy", "pydicom", "isal"} <= set(record["versions"])
    hu = scan.array.astype(np.float64)
    stats = record["intensity"]["before"]
    assert (stats["min"], stats["max"]) == (hu.min(), hu.max())
    assert (stats["mean"], stats["std"]) == (pytest.approx(hu.mean(), rel=1e-12), pytest.approx(hu.std(), rel=1e-12))
    assert record["intensity"]["clipped"] == [
        {"low": -1350, "high": 150, "fraction_below": 0, "fraction_above": float((hu > 150).mean())}
    ]


def test_the_sum_of_one_file_is_what_sha256sum_prints(tmp_path: Path) -> None:
    path = nifti(tmp_path / "scans" / "a.nii.gz")
    record = one(tmp_path / "scans", tmp_path / "out")
    assert record["sources"][0]["sha256"] == hashlib.sha256(path.read_bytes()).hexdigest()
    assert record["sources"][0]["name"] == "a.nii.gz"


def test_a_prediction_goes_back_by_the_sidecar_alone(tmp_path: Path) -> None:
    nifti(tmp_path / "scans" / "a.nii.gz", shape=(8, 20, 22))
    text = "steps: [{reorient: {axcodes: IPR}}, {crop_or_pad: {shape: [10, 16, 16]}}]"
    record = one(tmp_path / "scans", tmp_path / "out", text)
    scan, prepared = load(tmp_path / "scans" / "a.nii.gz"), load(tmp_path / "out" / "a.nii.gz")
    mask = prepared.with_array((prepared.array > 0).astype(np.uint8))
    label = Image(mask.array, mask.grid, kind="label")
    back = Pipeline.from_dict(record["pipeline"]).inverse(label, record)
    assert back.grid == scan.grid
    inside = np.zeros(scan.array.shape, bool)
    inside[:, 2:18, 3:19] = True
    np.testing.assert_array_equal(back.array, np.where(inside, scan.array > 0, 0))


def test_nan_and_infinity_are_counted_and_the_json_stays_strict(tmp_path: Path) -> None:
    values = np.linspace(-3, 3, 6 * 10 * 9, dtype=np.float32).reshape(6, 10, 9)
    values[0, 0, :5], values[1, 0, :3], values[2, 0, 0] = np.nan, np.inf, -np.inf
    (tmp_path / "scans").mkdir()
    save(Image(values, Grid.from_spacing(values.shape, (2, 1, 1))), tmp_path / "scans" / "a.nii.gz")
    record = one(tmp_path / "scans", tmp_path / "out", "steps: [{flip: {axes: [0]}}]")
    finite = values[np.isfinite(values)].astype(np.float64)
    for when in ("before", "after"):
        stats = record["intensity"][when]
        assert (stats["nan"], stats["inf"]) == (5, 4)
        assert (stats["min"], stats["max"]) == (finite.min(), finite.max())
        assert stats["mean"] == pytest.approx(finite.mean(), abs=1e-12)
    assert record["warnings"] == []
    # Nothing is clipped: there is no range, and infinity is no JSON.
    assert record["intensity"]["clipped"][0]["low"] is None


def test_nothing_finite_at_all_is_null(tmp_path: Path) -> None:
    (tmp_path / "scans").mkdir()
    values = np.full((4, 5, 6), np.nan, np.float32)
    save(Image(values, Grid.from_spacing(values.shape, (2, 1, 1))), tmp_path / "scans" / "a.nii.gz")
    stats = one(tmp_path / "scans", tmp_path / "out", "steps: []")["intensity"]["before"]
    assert stats == {"min": None, "max": None, "mean": None, "std": None, "nan": 120, "inf": 0}


def test_a_scan_that_the_pipeline_is_not_made_for_is_doubted(tmp_path: Path) -> None:
    (tmp_path / "scans").mkdir()
    mri = np.random.default_rng(0).integers(300, 900, (6, 10, 9)).astype(np.int16)
    save(Image(mri, Grid.from_spacing(mri.shape, (2, 1, 1))), tmp_path / "scans" / "t1.nii.gz")
    (warning,) = one(tmp_path / "scans", tmp_path / "out")["warnings"]
    assert warning.startswith("100.0% of the voxels are beyond the range")


def test_channels_have_a_range_each(tmp_path: Path) -> None:
    nifti(tmp_path / "scans" / "a.nii.gz")
    text = "steps: [{multi_window: {presets: [lung, [40, 80]]}}]"
    record = one(tmp_path / "scans", tmp_path / "out", text)
    values = load(tmp_path / "scans" / "a.nii.gz").array
    ends = [(row["low"], row["high"]) for row in record["intensity"]["clipped"]]
    assert ends == [(-1350, 150), (0, 80)]
    for row, (low, high) in zip(record["intensity"]["clipped"], ends, strict=True):
        assert (row["fraction_below"], row["fraction_above"]) == ((values < low).mean(), (values > high).mean())


# Statistics ----------------------------------------------------------------------------------------------------------

NUMBERS = st.sampled_from(["int8", "uint8", "int16", "uint16", "int32", "float32", "float64"]).flatmap(
    lambda name: arrays.arrays(
        name,
        arrays.array_shapes(max_dims=3, max_side=9),
        elements=arrays.from_dtype(np.dtype(name), allow_nan=False, allow_infinity=False, min_value=-1e6, max_value=1e6)
        if name.startswith("float")
        else None,
    )
)


@given(x=NUMBERS, low=st.floats(-300, 300), width=st.floats(0, 600))
def test_statistics_equal_numpys(x: np.ndarray, low: float, width: float) -> None:
    got = statistics(x, [(low, low + width)])
    wide = x.astype(np.float64)
    low, high = round(low, 6), round(low + width, 6)
    assert (got.count, got.minimum, got.maximum) == (x.size, wide.min(), wide.max())
    scale = np.abs(wide).max() + 1
    assert got.mean == pytest.approx(wide.mean(), abs=1e-12 * scale)
    assert got.std == pytest.approx(wide.std(), abs=2e-8 * scale)
    kind = x.dtype.type if x.dtype.kind == "f" else float
    assert got.outside == ((int((x < kind(low)).sum()), int((x > kind(high)).sum())),)


@pytest.mark.parametrize("values", [[], [np.nan], [1e308, 1e308, -1e308], [np.inf, -np.inf, 3], [5]])
def test_statistics_of_odd_arrays(values: list[float]) -> None:
    got = statistics(np.array(values), [(0, 1)])
    finite = [v for v in values if np.isfinite(v)]
    assert (got.count, got.nan + got.inf) == (len(finite), len(values) - len(finite))
    if finite:
        assert (got.minimum, got.maximum) == (min(finite), max(finite))


def test_statistics_are_the_same_on_any_number_of_threads() -> None:
    x = np.random.default_rng(0).normal(1e4, 1, 700_001).astype(np.float32)
    try:
        results = []
        for threads in (1, 2, 5):
            set_num_threads(threads)
            results.append(statistics(x, [(1e4 - 1, 1e4 + 1)]))
    finally:
        set_num_threads(None)
    assert results[0] == results[1] == results[2]
    assert results[0].std == pytest.approx(x.std(dtype=np.float64), rel=1e-9)


def ramp_step(kind: int, a: float, b: float) -> dict[str, Any]:
    if kind == 0:
        return {"rescale": {"slope": a or 1.0, "intercept": b}}
    if kind == 1:
        return {"clip_hu": {"lo": min(a, b) * 100, "hi": max(a, b) * 100 + 1}}
    return {"window": {"level": b * 50, "width": abs(a) * 100 + 2}}


@given(
    steps=st.lists(st.tuples(st.integers(0, 2), st.integers(-8, 8), st.integers(-8, 8)), min_size=1, max_size=4),
    rescale=st.sampled_from([Ramp(), Ramp(1, -1024), Ramp(-0.5, 100)]),
)
@settings(max_examples=100)
def test_the_unclipped_range_is_where_the_pipeline_is_not_flat(
    steps: list[tuple[int, int, int]], rescale: Ramp
) -> None:
    pipeline = Pipeline.from_dict({"steps": [ramp_step(k, float(a), float(b)) for k, a, b in steps], "dtype": None})
    grid = Grid.from_spacing((1, 1, 1), (1, 1, 1))
    ((low, high),) = unclipped(pipeline.plan(grid, rescale=rescale), rescale)
    if not low < high or max(abs(low), abs(high)) > 1e12:
        return

    def value(hu: float) -> float:
        stored = np.full((1, 1, 1), (hu - rescale.b) / rescale.a)
        return float(pipeline(Image(stored, grid, rescale=rescale)).array[0, 0, 0])

    for end, away in ((low, -1), (high, 1)):
        if np.isfinite(end):
            assert value(end + away * 7) == pytest.approx(value(end + away * 70), abs=1e-6)


# Privacy -------------------------------------------------------------------------------------------------------------

SECRETS = {
    "PatientName": "Zzyzx^Quillon",
    "PatientID": "PID-Xq77Zz",
    "PatientBirthDate": "19371121",
    "PatientAddress": "9 Vexwort Lane",
    "AccessionNumber": "ACCq9Zx7",
    "InstitutionName": "Hospital Wyvernfjord",
    "ReferringPhysicianName": "Doc^Ombrixel",
    "OtherPatientIDs": "ALTq8Zy6",
    "StudyID": "STqZ81x",
    "StudyDescription": "Descr Jaxwulf",
    "PatientComments": "Comment Brynzofix",
}
UIDS = {"SeriesInstanceUID": "1.2.826.0.1.99999.777.1", "StudyInstanceUID": "1.2.826.0.1.99999.777.2"}


def every_byte(folder: Path) -> dict[str, bytes]:
    """All files below a folder, unpacked."""
    return {
        str(path.relative_to(folder)): gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


@pytest.mark.parametrize("form", ["nii.gz", "npy", "zarr"])
def test_no_output_names_the_patient(tmp_path: Path, capsys: pytest.CaptureFixture[str], form: str) -> None:
    def person(k: int, ds: Any) -> None:
        item = Dataset()
        item.PatientName, item.PatientID = "Nested^Krizzalot", "NESTq71"
        ds.ReferencedPatientSequence = Items([item])
        ds.private_block(0x11, "ACME", create=True).add_new(1, "LO", "Private Hexibund")

    for name, how in {"good": {}, "gap": {"positions": (0, 2, 4, 8, 10)}, "sloppy": {"SeriesNumber": "7 "}}.items():
        uids = {"series_uid": UIDS["SeriesInstanceUID"] + str(len(name)), "StudyInstanceUID": UIDS["StudyInstanceUID"]}
        write_series(tmp_path / "in" / name, ramp_volume(), edit=person, **SECRETS, **uids, **how)
    damaged = write_series(tmp_path / "in" / "cut", ramp_volume(), edit=person, **SECRETS)
    damaged[0].write_bytes(damaged[0].read_bytes()[:900])
    output, pipeline = tmp_path / "out", pipeline_file(tmp_path)
    assert cli("run", pipeline, tmp_path / "in", "-o", output, "--format", form) == 1
    for command in (("info", tmp_path / "in"), ("plan", pipeline, tmp_path / "in")):
        cli(*command)
    cli("run", pipeline, tmp_path / "in", "-o", output, "--dry-run")
    shown = capsys.readouterr()
    contents = {**every_byte(output), "stdout": shown.out.encode(), "stderr": shown.err.encode()}
    assert len(contents) > 6
    words = [word for value in SECRETS.values() for word in value.replace("^", " ").split() if len(word) > 4]
    words += ["Krizzalot", "NESTq71", "Hexibund", *UIDS.values()]
    planted = b"".join(every_byte(tmp_path / "in").values())
    assert all(word.encode() in planted for word in words)
    for name, content in contents.items():
        for word in words:
            assert word.encode() not in content, f"{word} in {name}"
            assert word.encode("utf-16-le") not in content, f"{word} in {name}"
    assert not any(str(tmp_path / "in").encode() in content for name, content in contents.items() if name[:3] != "std")


def test_json_has_no_nan_whatever_is_put_in() -> None:
    image = Image(np.zeros((2, 2, 2), np.float32), Grid.from_spacing((2, 2, 2), (1, 1, 1)))
    pipeline = Pipeline(())
    stats = statistics(image.array)
    record = sidecar(
        pipeline=pipeline,
        plan=pipeline.plan_for(image),
        run=Run(),
        before=image,
        after=image,
        sources=[],
        scan={"odd": float("nan"), "worse": [np.float32("inf"), np.int16(3)], "tuple": (1, 2)},
        limits=[],
        statistics=(stats, stats),
        warnings=["b", "a", "b"],
        seconds={"read": 1.23456789},
        threads=1,
        packages=("no-such-package",),
    )
    again = json.loads(to_json(record), parse_constant=lambda token: pytest.fail(token))
    assert again == record
    assert record["scan"] == {"odd": None, "worse": [None, 3], "tuple": [1, 2]}
    assert record["warnings"] == ["b", "a"]
    assert record["versions"]["fastprep"] == fastprep.__version__
