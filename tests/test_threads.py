"""The one pool: safe to call from many threads, after a fork, in a loader's worker; errors come out."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import fastprep
from fastprep.core import threads
from fastprep.core.errors import ArgumentError
from fastprep.core.threads import available_cores, num_threads, run_slabs, set_num_threads, thread_limit


@pytest.fixture(autouse=True)
def default_threads(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.delenv("FASTPREP_NUM_THREADS", raising=False)
    set_num_threads(None)
    yield
    set_num_threads(None)


def run(code: str, folder: Path, **environment: str) -> str:
    """What a fresh process prints: forks and loaders start from a clean state there."""
    done = subprocess.run(
        [sys.executable, "-W", "error::RuntimeWarning", "-c", code],
        cwd=folder,
        env=os.environ | environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@given(st.integers(0, 100), st.integers(1, 9), st.integers(1, 40))
def test_slabs_cover_every_index_once(length: int, n: int, smallest: int) -> None:
    set_num_threads(n)
    hits = np.zeros(length, dtype=np.int64)
    slabs = []

    def work(start: int, stop: int) -> None:
        slabs.append((start, stop))
        hits[start:stop] += 1

    run_slabs(work, length, smallest=smallest)
    assert (hits == 1).all()
    assert len(slabs) <= n
    if len(slabs) > 1:
        assert min(stop - start for start, stop in slabs) >= smallest


def test_slabs_run_beside_each_other() -> None:
    set_num_threads(3)
    meeting = threading.Barrier(3)
    run_slabs(lambda start, stop: meeting.wait(timeout=30) and None, 3)


def test_one_thread_stays_in_the_callers() -> None:
    set_num_threads(1)
    seen = []
    run_slabs(lambda start, stop: seen.append(threading.current_thread()), 10)
    assert seen == [threading.current_thread()]


@pytest.mark.parametrize("bad", [0, 3])
def test_errors_come_out_after_all_slabs_are_done(bad: int) -> None:
    set_num_threads(4)
    done = []

    def work(start: int, stop: int) -> None:
        if start == bad:
            msg = f"slab {start}"
            raise KeyError(msg)
        done.append(start)

    with pytest.raises(KeyError, match=f"slab {bad}"):
        run_slabs(work, 4)
    assert sorted(done) == sorted({0, 1, 2, 3} - {bad})
    run_slabs(lambda start, stop: done.append(start), 4)
    assert len(done) == 7


def test_more_callers_than_the_pool_has_threads() -> None:
    """Every caller does a slab itself, so none waits for one that waits for it."""
    set_num_threads(4)
    total = np.zeros(200, dtype=np.int64)

    def caller(i: int) -> None:
        part = np.zeros(4, dtype=np.int64)

        def work(start: int, stop: int) -> None:
            part[start:stop] = 1

        run_slabs(work, 4)
        total[i] = part.sum()

    with ThreadPoolExecutor(max_workers=100) as pool:
        list(pool.map(caller, range(200)))
    assert (total == 4).all()


@pytest.mark.parametrize("backend", ["cpu"])
def test_many_threads_get_what_one_gets(backend: str) -> None:
    x = np.random.default_rng(0).integers(-1024, 3000, (9, 40, 41)).astype(np.int16)
    turn = [[1, 0.1, 0, 0.3], [-0.1, 1, 0, 1], [0, 0, 1.1, -2], [0, 0, 0, 1]]
    calls: list[Callable[[], Any]] = [
        lambda: fastprep.window(x, preset="lung"),
        lambda: fastprep.resample(x, (2, 1, 1), (1, 1.3, 0.7)),
        lambda: fastprep.resample(x, (2, 1, 1), (1, 1.3, 0.7), order="cubic"),
        lambda: fastprep.warp(x, turn, (9, 40, 41)),
        lambda: fastprep.crop_to_mask(x, x > 2990),
    ]
    with fastprep.registry.backend(backend):
        alone = [call() for call in calls]
    set_num_threads(3)
    with ThreadPoolExecutor(max_workers=12) as pool:
        together = list(pool.map(lambda i: (i, calls[i]()), [i % len(calls) for i in range(60)]))
    for i, result in together:
        np.testing.assert_array_equal(result, alone[i])


def test_results_do_not_depend_on_the_number_of_threads() -> None:
    x = np.random.default_rng(0).normal(size=(7, 33, 35)).astype(np.float32)
    results = []
    for n in (1, 2, 5):
        set_num_threads(n)
        results.append(fastprep.resample(x, (1, 1, 1), (0.6, 1.3, 0.9), order="cubic"))
    np.testing.assert_array_equal(results[0], results[1])
    np.testing.assert_array_equal(results[0], results[2])


def test_default_is_every_core_of_this_process() -> None:
    assert num_threads() == available_cores() >= 1
    set_num_threads(7)
    assert num_threads() == 7
    set_num_threads(None)
    assert num_threads() == available_cores()


def test_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FASTPREP_NUM_THREADS", "5")
    assert num_threads() == 5
    set_num_threads(2)
    assert num_threads() == 2, "a call says more than the environment"
    set_num_threads(None)
    monkeypatch.setenv("FASTPREP_NUM_THREADS", "")
    assert num_threads() == available_cores()


@pytest.mark.parametrize("text", ["0", "-1", "two", "1.5", "²", "1e3"])
def test_no_number_of_threads_in_the_environment(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setenv("FASTPREP_NUM_THREADS", text)
    with pytest.raises(ArgumentError, match=f"FASTPREP_NUM_THREADS='{text}': expected a whole number of at least 1"):
        num_threads()


@pytest.mark.parametrize("n", [0, -1, 1.5, "2", np.nan])
def test_no_number_of_threads(n: Any) -> None:
    with pytest.raises(ArgumentError, match=r"n=.*: expected a whole number of at least 1, or None"):
        set_num_threads(n)
    assert num_threads() == available_cores()


def test_limit_holds_inside_and_in_this_thread_only() -> None:
    set_num_threads(8)
    elsewhere: list[int] = []
    with thread_limit(2):
        assert num_threads() == 2
        with thread_limit(1):
            assert num_threads() == 1
        other = threading.Thread(target=lambda: elsewhere.append(num_threads()))
        other.start()
        other.join()
    assert elsewhere == [8]
    assert num_threads() == 8
    with thread_limit(99):
        assert num_threads() == 8


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
def test_an_operation_in_a_forked_child(tmp_path: Path) -> None:
    """The parent's pool has threads; the child, where they are gone, makes its own."""
    code = """
import os, sys
import numpy as np
import fastprep
fastprep.set_num_threads(4)
x = np.arange(24000, dtype=np.int16).reshape(20, 30, 40)
def work():
    return fastprep.resample(fastprep.flip(x, (0,)), (1, 1, 1), (0.5, 1, 1))
expected = work()
children = []
for _ in range(3):
    child = os.fork()
    if child == 0:
        same = np.array_equal(work(), expected)
        os._exit(0 if same else 1)
    children.append(child)
codes = [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]
assert np.array_equal(work(), expected)
print(codes)
"""
    assert run(code, tmp_path) == "[0, 0, 0]"


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
def test_fork_while_others_compute(tmp_path: Path) -> None:
    """A fork in the middle of other threads' calls: locks they hold must not be the child's."""
    code = """
import os, threading
import numpy as np
import fastprep
fastprep.set_num_threads(3)
x = np.arange(240000, dtype=np.int16).reshape(20, 300, 40)
expected = fastprep.flip(x, (0,))
stop = threading.Event()
def busy():
    while not stop.is_set():
        fastprep.flip(x, (0,))
callers = [threading.Thread(target=busy) for _ in range(3)]
for caller in callers:
    caller.start()
codes = []
for _ in range(10):
    child = os.fork()
    if child == 0:
        os._exit(0 if np.array_equal(fastprep.flip(x, (0,)), expected) else 1)
    codes.append(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
stop.set()
for caller in callers:
    caller.join()
print(sum(codes))
"""
    assert run(code, tmp_path) == "0"


LOADER = """
import numpy as np
import torch
import fastprep
from fastprep.core.threads import num_threads
class Scans(torch.utils.data.Dataset):
    def __len__(self):
        return 4
    def __getitem__(self, i):
        x = torch.full((6, 8, 8), i, dtype=torch.int16)
        y = fastprep.resample(x, (2, 1, 1), (1, 1, 1))
        return torch.tensor([num_threads(), int(y.shape[0]), int(y[0, 0, 0])])
if __name__ == "__main__":
    {before}
    fastprep.clip_hu(np.zeros((64, 64, 64), np.float32))
    loader = torch.utils.data.DataLoader(Scans(), num_workers=2, batch_size=None, multiprocessing_context="{how}")
    print([row.tolist() for row in loader])
"""


@pytest.mark.parametrize(
    ("before", "environment", "expected"),
    [
        ("pass", {}, 1),
        ("pass", {"FASTPREP_NUM_THREADS": "3"}, 3),
        ("fastprep.set_num_threads(2)", {}, 2),
    ],
)
def test_one_thread_in_a_loaders_worker_unless_told_otherwise(
    tmp_path: Path, before: str, environment: dict[str, str], expected: int
) -> None:
    pytest.importorskip("torch", reason="torch is not installed")
    printed = run(LOADER.format(before=before, how="fork"), tmp_path, **environment)
    assert printed == str([[expected, 12, i] for i in range(4)])


def test_one_thread_in_a_spawned_worker(tmp_path: Path) -> None:
    pytest.importorskip("torch", reason="torch is not installed")
    program = tmp_path / "load.py"
    program.write_text(LOADER.format(before="pass", how="spawn"))
    printed = run(f"import runpy; runpy.run_path({str(program)!r}, run_name='__main__')", tmp_path)
    assert printed == str([[1, 12, i] for i in range(4)])


def test_the_pool_is_made_once() -> None:
    set_num_threads(2)
    run_slabs(lambda start, stop: None, 2)
    pool = threads._pool
    run_slabs(lambda start, stop: None, 2)
    assert threads._pool is pool is not None
