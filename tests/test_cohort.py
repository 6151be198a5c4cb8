"""Cohorts: found by themselves, resumed where they stopped, whole or not at all."""

from __future__ import annotations

import json
import os
import resource
import signal
import threading
import warnings
from pathlib import Path

import numpy as np
import pytest

import fastprep
from cohorts import (
    SMALL,
    assert_whole,
    cli,
    dicom,
    failures,
    files_of,
    nifti,
    pipeline_file,
    program,
    records,
    strict,
)
from dicom_files import ramp_volume, write_series
from fastprep.cohort import memory
from fastprep.cohort.cases import find_cases
from fastprep.cohort.notes import collected, routed
from fastprep.cohort.runner import Summary, run_cohort
from fastprep.cohort.work import Settings
from fastprep.core.errors import ArgumentError, BusyError, ReadError, TooLargeError, WriteError
from fastprep.pipeline import Pipeline


@pytest.fixture
def scans(tmp_path: Path) -> Path:
    """Two DICOM series and two NIfTI files, and what lies beside such files."""
    folder = tmp_path / "scans"
    dicom(folder / "alpha")
    dicom(folder / "beta" / "study")
    nifti(folder / "sub-01" / "anat" / "sub-01_T1w.nii.gz", seed=1)
    nifti(folder / "plain.nii", seed=2)
    (folder / "README.md").write_text("hello")
    (folder / ".DS_Store").write_bytes(b"\0\0\0\1Bud1")
    return folder


#: The cases of `scans`, and what each is made of.
CASES = {
    "alpha": "alpha",
    "beta/study": "beta/study",
    "sub-01/anat/sub-01_T1w": "sub-01/anat/sub-01_T1w.nii.gz",
    "plain": "plain.nii",
}


def run(scans: Path, output: Path, text: str = SMALL, **how: object) -> Summary:
    names = ("format", "irregular", "overwrite")
    settings = Settings(Pipeline.from_yaml(text), output, **{k: how.pop(k) for k in names if k in how})  # type: ignore[arg-type]
    return run_cohort(find_cases([scans], output=output), settings, **how)  # type: ignore[arg-type]


def ids(*inputs: Path, **how: object) -> list[str]:
    return [case.id for case in find_cases(inputs, **how).cases]  # type: ignore[arg-type]


# Finding -------------------------------------------------------------------------------------------------------------


def test_series_and_files_are_cases_named_by_where_they_are(scans: Path) -> None:
    found = find_cases([scans])
    assert {case.id for case in found.cases} == set(CASES)
    assert dict(found.skipped) == {"README.md": "not an image", ".DS_Store": "hidden"}


def test_a_folder_of_several_series_gives_each_a_name_of_its_own(tmp_path: Path) -> None:
    for seed in (0, 1):
        for path in dicom(tmp_path / f"part{seed}", seed=seed):
            path.rename(tmp_path / f"{seed}_{path.name}")
    names = ids(tmp_path)
    assert len(set(names)) == 2
    assert all(name.startswith(f"{tmp_path.name}-") and len(name) == len(tmp_path.name) + 9 for name in names)


def test_a_series_in_several_folders_is_one_case_and_its_copy_another(tmp_path: Path) -> None:
    files = dicom(tmp_path / "scan" / "a", slices=6)
    (tmp_path / "scan" / "b").mkdir()
    for path in files[3:]:
        path.rename(tmp_path / "scan" / "b" / path.name)
    assert ids(tmp_path) == ["scan"]
    copy = tmp_path / "copy"
    copy.mkdir()
    for path in (tmp_path / "scan").rglob("IM*"):
        (copy / path.name).write_bytes(path.read_bytes())
    assert len(ids(tmp_path)) == 3, "a copy must not be mixed with the original"


def test_one_name_is_never_used_twice(tmp_path: Path) -> None:
    for folder in ("a", "b"):
        nifti(tmp_path / folder / "scan.nii.gz")
    nifti(tmp_path / "a" / "scan.nii")
    nifti(tmp_path / "a" / "dataset_description.nii")
    names = ids(tmp_path / "a", tmp_path / "b")
    assert len(set(names)) == len(names) == 4
    assert "dataset_description" not in names
    assert ids(tmp_path / "a", tmp_path / "a") == ids(tmp_path / "a"), "one folder given twice"


def test_links_to_folders_are_followed_once(scans: Path) -> None:
    nifti(scans.parent / "elsewhere" / "linked.nii")
    (scans / "link").symlink_to(scans.parent / "elsewhere")
    (scans / "again").symlink_to(scans.parent / "elsewhere")
    (scans / "alpha" / "loop").symlink_to(scans)
    assert set(ids(scans)) == {*CASES, "again/linked"}


def test_what_is_no_scan_is_listed_in_the_journal(scans: Path, tmp_path: Path) -> None:
    (scans / "VERSION").write_text("3")
    run(scans, tmp_path / "out")
    first = json.loads((tmp_path / "out" / ".fastprep" / "journal.jsonl").read_text().splitlines()[0])
    assert first["run"]["cases"] == 4
    skipped = [[".DS_Store", "hidden"], ["README.md", "not an image"], ["VERSION", "not a DICOM file"]]
    assert sorted(first["run"]["skipped"]) == skipped


def test_outputs_are_never_inputs(scans: Path) -> None:
    output = scans / "out"
    run(scans, output)
    found = find_cases([scans], output=output)
    assert {case.id for case in found.cases} == set(CASES)
    assert ("out", "an output folder of fastprep") in find_cases([scans]).skipped
    with pytest.raises(ArgumentError, match="also an input"):
        find_cases([scans], output=scans)


def test_nothing_to_do_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ReadError, match="no such file or folder"):
        find_cases([tmp_path / "nowhere"])
    with pytest.raises(ReadError, match="no scan found"):
        find_cases([tmp_path])
    (tmp_path / "notes.txt").write_text("x")
    with pytest.raises(ReadError, match=r"no scan found.*notes\.txt"):
        find_cases([tmp_path])


def test_labels_are_told_by_name_and_never_blended(tmp_path: Path) -> None:
    path = nifti(tmp_path / "scans" / "a_seg.nii.gz")
    found = find_cases([path], is_label=lambda name: name.endswith("_seg.nii.gz"))
    text = SMALL.replace("[2, 1, 1]", "[1.3, 0.7, 0.7]")
    output = tmp_path / "out"
    run_cohort(found, Settings(Pipeline.from_yaml(text), output))
    stored, result = fastprep.load(path).array, fastprep.load(output / "a_seg.nii.gz").array
    assert result.dtype == stored.dtype
    assert set(np.unique(result)) <= {0, *np.unique(stored)}
    assert strict(output / "a_seg.json")["intensity"]["clipped"] == []
    assert run(tmp_path / "scans", output, text).count("ok") == 1, "the same file taken for an image"


# Running -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("form", ["nii.gz", "nii", "npy", "zarr"])
def test_every_case_gets_its_volume_and_sidecar(scans: Path, tmp_path: Path, form: str) -> None:
    output = tmp_path / "out"
    summary = run(scans, output, format=form, jobs=2)
    assert (summary.count("ok"), summary.count("failed")) == (4, 0)
    pipeline = Pipeline.from_yaml(SMALL)
    for case, path in CASES.items():
        expected = pipeline(fastprep.load(scans / path))
        record = strict(output / f"{case}.json")
        got = np.load(output / f"{case}.npy") if form == "npy" else fastprep.load(output / f"{case}.{form}").array
        # One Ramp from stored values to the window, where `load` rounds to HU in between.
        np.testing.assert_allclose(got, expected.array, rtol=0, atol=2e-7)
        assert fastprep.Grid.from_dict(record["grid"]["after"]) == expected.grid
    description = strict(output / "dataset_description.json")
    assert description["DatasetType"] == "derivative"
    assert description["GeneratedBy"] == [{"Name": "fastprep", "Version": fastprep.__version__}]
    assert not (output / "failures.csv").exists()


def test_results_can_be_inputs_again(scans: Path, tmp_path: Path) -> None:
    again = "steps: [{crop_or_pad: {shape: [4, 6, 6]}}]"
    for form in ("npy", "zarr", "nii"):
        run(scans, tmp_path / form, format=form)
        summary = run(tmp_path / form, tmp_path / f"{form}-2", again)
        assert summary.count("ok") == 4, form
    first, second = (fastprep.load(tmp_path / f"{form}-2" / "alpha.nii.gz") for form in ("npy", "zarr"))
    np.testing.assert_array_equal(first.array, second.array)
    assert first.grid.same_as(second.grid)


def test_results_do_not_depend_on_jobs(scans: Path, tmp_path: Path) -> None:
    for jobs in (1, 4):
        run(scans, tmp_path / str(jobs), jobs=jobs)
    for case in CASES:
        one, four = ((tmp_path / jobs / f"{case}.nii.gz").read_bytes() for jobs in "14")
        assert one == four
        first, second = (strict(tmp_path / jobs / f"{case}.json") for jobs in "14")
        assert {k: v for k, v in first.items() if k not in ("seconds", "threads")} == {
            k: v for k, v in second.items() if k not in ("seconds", "threads")
        }


def test_a_second_run_does_nothing_and_a_changed_input_is_done_again(scans: Path, tmp_path: Path) -> None:
    output = tmp_path / "out"
    run(scans, output)
    before = {name: (output / name).stat().st_mtime_ns for name in files_of(output)}
    assert run(scans, output).count("unchanged") == 4
    assert {name: (output / name).stat().st_mtime_ns for name in files_of(output)} == before
    nifti(scans / "plain.nii", seed=7)
    summary = run(scans, output)
    assert [o.case.id for o in summary.outcomes if o.status == "ok"] == ["plain"]
    next(iter((scans / "alpha").iterdir())).unlink()  # a slice at an end or in the middle: another result either way
    assert {o.case.id for o in run(scans, output).outcomes if o.status != "unchanged"} == {"alpha"}


def test_a_new_time_alone_is_no_change(scans: Path, tmp_path: Path) -> None:
    output = tmp_path / "out"
    run(scans, output)
    for path in scans.rglob("*"):
        if path.is_file():
            os.utime(path, (1e9, 1e9))
    assert run(scans, output).count("unchanged") == 4
    stamps = [r["stamp"] for r in records(output)]
    assert len(set(stamps)) == 8, "the new times are noted, so that the next run need not read the files"


@pytest.mark.parametrize(
    "change",
    [{"text": SMALL.replace("lung", "bone")}, {"format": "nii"}, {"overwrite": True}, {"irregular": "resample"}],
)
def test_other_settings_are_done_again(scans: Path, tmp_path: Path, change: dict[str, object]) -> None:
    output = tmp_path / "out"
    run(scans, output)
    assert run(scans, output, **change).count("ok") == 4  # type: ignore[arg-type]


def test_a_new_name_for_the_pipeline_is_no_change_and_a_new_version_is(
    scans: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    output = tmp_path / "out"
    run(scans, output)
    assert run(scans, output, SMALL.replace("name: small", "name: other")).count("unchanged") == 4
    monkeypatch.setattr(fastprep, "__version__", "9.9.9")
    assert run(scans, output).count("ok") == 4


@pytest.mark.parametrize("harm", ["volume gone", "volume cut", "tail of zeros", "sidecar gone"])
def test_outputs_that_came_to_harm_are_made_again(scans: Path, tmp_path: Path, harm: str) -> None:
    output = tmp_path / "out"
    run(scans, output)
    volume = output / "alpha.nii.gz"
    whole = volume.read_bytes()
    if harm == "volume gone":
        volume.unlink()
    elif harm == "volume cut":
        volume.write_bytes(whole[:-5])
    elif harm == "tail of zeros":
        volume.write_bytes(whole[:-50] + bytes(50))
    else:
        (output / "alpha.json").unlink()
    assert run(scans, output).count("ok") == 1
    assert volume.read_bytes() == whole


def test_bad_cases_are_listed_and_the_rest_goes_on(scans: Path, tmp_path: Path) -> None:
    bad = scans / "bad"
    bad.mkdir()
    (bad / "zero.nii.gz").write_bytes(b"")
    (bad / "empty.dcm").write_bytes(b"")
    (bad / "random.nii").write_bytes(np.random.default_rng(0).bytes(4000))
    (bad / "noise.dcm").write_bytes(np.random.default_rng(1).bytes(4000))
    whole = (scans / "sub-01" / "anat" / "sub-01_T1w.nii.gz").read_bytes()
    (bad / "cut.nii.gz").write_bytes(whole[: len(whole) // 2])
    slices = dicom(bad / "cut_slice")
    slices[2].write_bytes(slices[2].read_bytes()[:-20])
    header_cut = dicom(bad / "cut_header")
    header_cut[2].write_bytes(header_cut[2].read_bytes()[:500])
    dicom(bad / "missing", slices=6)[3].unlink()
    dicom(bad / "tilted", step=(0, 0.3, 1))
    dicom(bad / "mr", Modality="MR")
    nan = bytearray((scans / "plain.nii").read_bytes())
    nan[280:284] = np.float32(np.nan).tobytes()
    (bad / "nan.nii").write_bytes(nan)
    np.save(bad / "loose.npy", np.zeros((4, 4, 4)))
    output = tmp_path / "out"
    summary = run(scans, output, jobs=3)
    rows = failures(output)
    assert summary.count("ok") == 4, rows
    reasons = {case: row["reason"] for case, row in rows.items()}
    assert reasons.pop("bad/cut_header/" + header_cut[2].name) == "ReadError"
    assert reasons == {
        "bad/zero": "ReadError",
        "bad/empty": "ReadError",
        "bad/random": "ReadError",
        "bad/noise": "ReadError",
        "bad/cut": "ReadError",
        "bad/cut_slice": "ReadError",
        "bad/cut_header": "SeriesError",
        "bad/missing": "SeriesError",
        "bad/tilted": "GantryTiltError",
        "bad/mr": "ArgumentError",
        "bad/nan": "GeometryError",
        "bad/loose": "GeometryError",
    }
    assert all(row["message"] and row["remedy"] for row in rows.values())
    assert not any(str(tmp_path) in row["message"] for row in rows.values()), "the place of the data is private"
    assert_whole(output)


def test_failures_are_forgotten_once_mended(scans: Path, tmp_path: Path) -> None:
    output = tmp_path / "out"
    missing = dicom(scans / "gap", slices=6)
    kept = missing[3].read_bytes()
    missing[3].unlink()
    assert run(scans, output).count("failed") == 1
    assert list(failures(output)) == ["gap"]
    missing[3].write_bytes(kept)
    summary = run(scans, output)
    assert (summary.count("ok"), summary.count("unchanged")) == (1, 4)
    assert not (output / "failures.csv").exists()


def test_uneven_and_tilted_stacks_are_resampled_when_asked(tmp_path: Path) -> None:
    write_series(tmp_path / "scans" / "tilt", ramp_volume((5, 8, 6)), step=(0, 0.3, 1), RescaleIntercept=-1024)
    dicom(tmp_path / "scans" / "gap", slices=6)[3].unlink()
    output = tmp_path / "out"
    assert run(tmp_path / "scans", output, irregular="resample").count("ok") == 2
    tilt = strict(output / "tilt.json")
    assert any("tilt" in text for text in tilt["warnings"])
    assert tilt["intensity"]["before"]["min"] == -1024
    assert fastprep.Grid.from_dict(tilt["grid"]["before"]).shear > 0.1
    assert fastprep.Grid.from_dict(tilt["grid"]["after"]).shear < 1e-9
    assert any("missing" in text for text in strict(output / "gap.json")["warnings"])


def test_warnings_go_to_the_case_they_belong_to(tmp_path: Path) -> None:
    start = threading.Barrier(4)
    heard: dict[int, list[str]] = {}

    def work(i: int) -> None:
        with collected() as notes:
            start.wait()
            for _ in range(50):
                warnings.warn(f"case {i}", stacklevel=1)
            heard[i] = notes

    with routed():
        threads = [threading.Thread(target=work, args=(i,)) for i in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert heard == {i: [f"case {i}"] * 50 for i in range(4)}
    with pytest.warns(UserWarning, match="outside"):
        warnings.warn("outside", stacklevel=1)


def test_reader_warnings_are_in_the_sidecar(tmp_path: Path) -> None:
    from PIL import Image as Picture

    (tmp_path / "scans").mkdir()
    for name in "abc":
        Picture.fromarray(np.arange(64, dtype=np.uint8).reshape(8, 8)).save(tmp_path / "scans" / f"{name}.png")
    run(tmp_path / "scans", tmp_path / "out", "steps: [{flip: {axes: [0]}}]", jobs=3)
    for name in "abc":
        assert strict(tmp_path / "out" / f"{name}.json")["warnings"] == [
            f"{name}.png: no pixel size in the file: spacing is taken as 1 mm"
        ]


# Memory --------------------------------------------------------------------------------------------------------------


def test_a_case_larger_than_memory_fails_alone(scans: Path, tmp_path: Path) -> None:
    nifti(scans / "big.nii.gz", shape=(30, 40, 40))
    small = max(memory_of(scans, case) for case in CASES)
    summary = run(scans, tmp_path / "out", memory_bytes=2 * small, jobs=4)
    assert summary.count("ok") == 4
    assert isinstance(next(o.error for o in summary.outcomes if o.status == "failed"), TooLargeError)
    assert summary.expected_bytes <= 2 * small
    assert failures(tmp_path / "out")["big"]["reason"] == "TooLargeError"


def memory_of(scans: Path, name: str) -> int:
    from fastprep.cohort.runner import plan_case

    case = next(c for c in find_cases([scans]).cases if c.id == name)
    return plan_case(case, Settings(Pipeline.from_yaml(SMALL), Path()))[1]


def test_memory_counts_input_output_and_a_tenth(scans: Path) -> None:
    assert memory_of(scans, "alpha") == int((5 * 8 * 6 * 2 + 8 * 12 * 12 * 4) * 1.1)
    assert 0 < memory.available() < 2**60
    assert memory.peak_rss() > 2**20


# Interruptions -------------------------------------------------------------------------------------------------------

# The third volume is written half and then waits, so that the parent knows when to strike.
DRIVER = """
import sys, time
import fastprep.cohort.work as work
usual, count = work.save, 0
def slow(image, path):
    global count
    count += 1
    if count == 3:
        path.write_bytes(b"half a volume")
        print("writing", flush=True)
        time.sleep({wait})
    usual(image, path)
work.save = slow
from fastprep.cli import main
sys.exit(main(sys.argv[1:]))
"""


def cohort_of(folder: Path, count: int = 6) -> Path:
    for i in range(count):
        nifti(folder / f"c{i}.nii.gz", seed=i)
    return folder


def test_a_killed_run_goes_on_where_it_stopped(tmp_path: Path) -> None:
    scans, output, pipeline = cohort_of(tmp_path / "scans"), tmp_path / "out", pipeline_file(tmp_path)
    process = program(DRIVER.format(wait=60), "run", pipeline, scans, "-o", output, "--jobs", 1)
    assert process.stdout is not None
    assert process.stdout.readline() == "writing\n"
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert [n for n in files_of(output) if ".fastprep-" in n], "the kill left its half volume"
    with (output / ".fastprep" / "journal.jsonl").open("a") as journal:
        journal.write('{"case": "c2", "status": "o')
    summary = run(scans, output)
    assert (summary.count("unchanged"), summary.count("ok")) == (2, 4)
    assert assert_whole(output) == {f"c{i}" for i in range(6)}
    assert run(scans, output).count("unchanged") == 6


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_leaves_nothing_half_written(tmp_path: Path, number: signal.Signals) -> None:
    scans, output, pipeline = cohort_of(tmp_path / "scans"), tmp_path / "out", pipeline_file(tmp_path)
    process = program(DRIVER.format(wait=0.5), "run", pipeline, scans, "-o", output, "--jobs", 2)
    assert process.stdout is not None
    assert process.stdout.readline() == "writing\n"
    process.send_signal(number)
    out, err = process.communicate(timeout=30)
    assert process.returncode == 128 + number, err
    assert "stopping" in err
    assert "not done" in out
    done = assert_whole(output)
    assert 2 <= len(done) < 6
    summary = run(scans, output)
    assert (summary.count("unchanged"), summary.count("ok")) == (len(done), 6 - len(done))


def test_a_fault_in_the_caller_ends_the_run_and_frees_the_folder(scans: Path, tmp_path: Path) -> None:
    def broken(outcome: object) -> None:
        raise RuntimeError("boom")

    with pytest.raises(RuntimeError, match="boom"):
        run(scans, tmp_path / "out", on_outcome=broken)
    assert_whole(tmp_path / "out")
    assert run(scans, tmp_path / "out").count("failed") == 0


def test_cancelled_cases_are_neither_done_nor_failed(scans: Path, tmp_path: Path) -> None:
    stop = threading.Event()
    output = tmp_path / "out"
    summary = run(scans, output, jobs=1, stop=stop, on_outcome=lambda _: stop.set())
    assert summary.stopped
    assert len(assert_whole(output)) == summary.count("ok") < 4
    assert summary.count("failed") == 0


def test_a_full_disk_fails_the_case_and_keeps_the_older_volume(
    scans: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import fastprep.cohort.work as work

    output = tmp_path / "out"
    run(scans, output)
    older = {name: (output / name).read_bytes() for name in files_of(output)}

    def full(image: object, path: Path) -> None:
        path.write_bytes(b"half")
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(work, "save", full)
        summary = run(scans, output, overwrite=True)
    assert summary.count("failed") == 4
    assert failures(output)["alpha"]["reason"] == "WriteError"
    assert "No space left" in failures(output)["alpha"]["message"]
    assert {n: (output / n).read_bytes() for n in files_of(output) if n != "failures.csv"} == older
    assert run(scans, output).count("ok") == 4
    assert not (output / "failures.csv").exists()


def test_the_systems_own_refusal_leaves_nothing_half_written(scans: Path, tmp_path: Path) -> None:
    output, pipeline = tmp_path / "out", pipeline_file(tmp_path)
    code = "import sys; from fastprep.cli import main; sys.exit(main(sys.argv[1:]))"

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))

    words = ("run", pipeline, scans, "-o", output, "--format", "nii", "--jobs", 2)
    process = program(code, *words, preexec_fn=limit)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 1, out + err
    assert "4 failed" in out
    assert files_of(output) <= {"dataset_description.json", "failures.csv"}


def test_two_runs_on_one_folder_are_told_apart(tmp_path: Path) -> None:
    scans, output, pipeline = cohort_of(tmp_path / "scans"), tmp_path / "out", pipeline_file(tmp_path)
    process = program(DRIVER.format(wait=60), "run", pipeline, scans, "-o", output, "--jobs", 1)
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "writing\n"
        with pytest.raises(BusyError, match=f"process {process.pid} on "):
            run(scans, output)
    finally:
        process.kill()
        process.communicate()
    assert run(scans, output).count("failed") == 0, "the lock of a killed run holds no one up"


def test_a_folder_that_cannot_be_written_stops_before_any_work(scans: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a folder")
    for output in (tmp_path / "file", tmp_path / "file" / "out", Path("/proc/fastprep")):
        with pytest.raises(WriteError):
            run(scans, output)


# Real scans ----------------------------------------------------------------------------------------------------------


def test_ct_chest_on_real_scans(data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    output = tmp_path / "out"
    assert cli("run", "ct-chest", data / "ct", "-o", output, "--jobs", 2) == 1
    assert assert_whole(output) == {"chest_p001", "chest_normal001"}
    row = failures(output)["head_tilt"]
    assert row["reason"] == "GantryTiltError"
    assert "18.50 degrees" in row["message"]
    assert "--irregular resample" in row["remedy"]
    record = strict(output / "chest_p001.json")
    image = fastprep.load(output / "chest_p001.nii.gz")
    assert image.array.shape == (288, 320, 320)
    assert image.grid.same_as(fastprep.Grid.from_dict(record["grid"]["after"]))
    assert record["sources"][0]["files"] == 148
    assert record["intensity"]["after"]["mean"] == pytest.approx(image.array.mean(dtype=np.float64), rel=1e-12)
    hu = fastprep.load(data / "ct" / "chest_p001").array
    clipped = record["intensity"]["clipped"][0]
    assert (clipped["low"], clipped["high"]) == (-1350, 150)
    assert clipped["fraction_above"] == np.count_nonzero(hu > 150) / hu.size
    assert record["intensity"]["before"]["std"] == pytest.approx(hu.std(dtype=np.float64), rel=1e-12)
    assert "2 ok, 1 failed" in capsys.readouterr().out
    assert cli("run", "ct-chest", data / "ct", "-o", output) == 1
    assert "0 ok, 1 failed, 2 unchanged" in capsys.readouterr().out
