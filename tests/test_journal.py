"""The journal: appended line by line, read past what a crash left, held by one run at a time."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest

from cohorts import nifti, program, records
from fastprep.cohort.cases import find_cases
from fastprep.cohort.journal import Journal, locked
from fastprep.cohort.outputs import prepare
from fastprep.cohort.sources import fingerprint, source, stamp
from fastprep.core.errors import BusyError, WriteError


@pytest.fixture
def output(tmp_path: Path) -> Path:
    prepare(tmp_path)
    return tmp_path


def test_the_last_record_of_a_case_counts(output: Path) -> None:
    journal = Journal(output)
    for n in range(3):
        journal.append("a", {"n": n})
    journal.append("b", {"n": 9})
    assert {case: record["n"] for case, record in Journal(output).records.items()} == {"a": 2, "b": 9}
    assert [r["n"] for r in records(output)] == [0, 1, 2, 9], "nothing is rewritten"


@pytest.mark.parametrize("left", [b'{"case": "b", "n', b"\xff\xfe\0\0", b"null", b'{"case": 3}', b"[1]\n\n\n"])
def test_a_line_cut_by_a_crash_counts_for_nothing(output: Path, left: bytes) -> None:
    Journal(output).append("a", {"n": 1})
    with (output / ".fastprep" / "journal.jsonl").open("ab") as file:
        file.write(left)
    journal = Journal(output)
    assert set(journal.records) == {"a"}
    journal.append("c", {"n": 3})
    assert set(Journal(output).records) == {"a", "c"}


def test_threads_do_not_mix_their_lines(output: Path) -> None:
    journal = Journal(output)
    threads = [
        threading.Thread(target=lambda i=i: [journal.append(f"{i}-{n}", {"n": n}) for n in range(20)]) for i in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(records(output)) == len(Journal(output).records) == 80


def test_each_record_is_on_disk_before_append_returns(output: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced = []
    usual = os.fsync
    monkeypatch.setattr(os, "fsync", lambda fd: (synced.append(os.fstat(fd).st_size), usual(fd))[1])
    Journal(output).append("a", {"n": 1})
    assert synced == [(output / ".fastprep" / "journal.jsonl").stat().st_size]


def test_a_record_that_cannot_be_written_is_taken_back(output: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    journal = Journal(output)
    journal.append("a", {"n": 1})
    before = journal.path.read_bytes()

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(WriteError, match="No space left"):
            journal.append("b", {"n": 2})
    assert journal.path.read_bytes() == before
    assert set(journal.records) == {"a"}


def test_a_folder_is_held_by_one_run(output: Path) -> None:
    with locked(output), pytest.raises(BusyError, match=f"process {os.getpid()} on "), locked(output):
        pass
    with locked(output):
        pass


def test_a_killed_process_leaves_no_lock(output: Path) -> None:
    code = """
import sys, time
from pathlib import Path
from fastprep.cohort.journal import locked
with locked(Path(sys.argv[1])):
    print("locked", flush=True)
    time.sleep(60)
"""
    process = program(code, output)
    assert process.stdout is not None
    assert process.stdout.readline() == "locked\n"
    with pytest.raises(BusyError, match=f"process {process.pid} on "), locked(output):
        pass
    process.kill()
    process.communicate()
    with locked(output):
        pass


def test_stamp_source_and_fingerprint_see_what_they_should(tmp_path: Path) -> None:
    path = nifti(tmp_path / "a.nii")
    (case,) = find_cases([path]).cases
    first = stamp(case), source(case), fingerprint(path)
    os.utime(path, (1e9, 1e9))
    assert stamp(case) != first[0]
    assert (source(case), fingerprint(path)) == first[1:]
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    assert source(case)["sha256"] != first[1]["sha256"]
    assert fingerprint(path) != first[2]
    assert fingerprint(tmp_path / "gone") is None
