"""A pipeline over many scans: several at once within the memory there is, each whole or not at all."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterable
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from fastprep.cohort import memory
from fastprep.cohort.cases import Case, Found
from fastprep.cohort.journal import Journal, Record, locked
from fastprep.cohort.notes import collected, routed
from fastprep.cohort.outputs import describe_folder, one_line, prepare, remedy, show_where, sweep, write_failures
from fastprep.cohort.read import describe_case
from fastprep.cohort.sources import source, stamp
from fastprep.cohort.subject_work import plan_subject, process_subject
from fastprep.cohort.work import Cancelled, Clock, Settings, may_be_done, process, relative
from fastprep.core.errors import TooLargeError, WriteError
from fastprep.core.threads import num_threads, thread_limit
from fastprep.pipeline.fused import FusedPlan
from fastprep.pipeline.plan import Plan

Status = Literal["ok", "unchanged", "failed", "cancelled"]


@dataclass(frozen=True)
class Outcome:
    """How one case ended."""

    case: Case
    status: Status
    error: BaseException | None = None
    #: Whether the pipeline was fitted on it, which its record tells, too.
    in_fit: bool = False

    @property
    def message(self) -> str:
        """What went wrong, on one line, with file names as the input has them."""
        return "" if self.error is None else relative(one_line(self.error), self.case)


@dataclass(frozen=True)
class Summary:
    """How a run ended: outcomes in the order they came, and what it took."""

    outcomes: tuple[Outcome, ...]
    total: int
    seconds: float
    jobs: int
    #: The most that the cases at work at one time were expected to hold, in bytes.
    expected_bytes: int
    stopped: bool
    failures: Path | None

    def count(self, status: Status) -> int:
        """Cases that ended so."""
        return sum(outcome.status == status for outcome in self.outcomes)


def run_cohort(
    found: Found,
    settings: Settings,
    *,
    jobs: int | None = None,
    memory_bytes: int | None = None,
    stop: threading.Event | None = None,
    on_outcome: Callable[[Outcome], None] = lambda _: None,
) -> Summary:
    """Run ``settings.pipeline`` over ``found.cases`` into ``settings.output``.

    Cases that an earlier run finished and whose inputs, pipeline, version and options are the same are left alone.
    A case that fails is listed in ``failures.csv``; the others go on.

    Parameters
    ----------
    jobs : cases at work at once; None is one per thread of `num_threads`, which they share evenly.
    memory_bytes : what cases at work may hold together; None is what this machine has left.
    stop : set it to take no new case and to end those at work at their next stage.
    on_outcome : called in this thread as each case ends.

    Raises
    ------
    WriteError
        The output folder cannot be written; nothing was started.
    BusyError
        Another run holds the output folder.
    """
    prepare(settings.output)
    with locked(settings.output), routed():
        sweep(settings.output)
        describe_folder(settings.output)
        run = _Run(found, settings, jobs, memory_bytes, stop or threading.Event(), on_outcome)
        return run.summary()


def plan_case(case: Case, settings: Settings) -> tuple[Plan | FusedPlan, int]:
    """The plan of a case and the bytes it will need at its peak, from headers alone."""
    if case.members:
        return plan_subject(case, settings)
    scan, held = describe_case(case, settings.irregular)
    pipeline = settings.pipeline_on(scan.grid)
    plan = pipeline.plan(scan.grid, kind=case.kind, modality=scan.modality, rescale=scan.rescale, voi=scan.voi)
    return plan, held + memory.needed(scan, plan)


@dataclass
class _Run:
    """The state of a run, touched by the thread that called `run_cohort` only."""

    found: Found
    settings: Settings
    jobs: int | None
    memory_bytes: int | None
    stop: threading.Event
    on_outcome: Callable[[Outcome], None]
    outcomes: list[Outcome] = field(default_factory=list)
    running: dict[Future[Outcome], int] = field(default_factory=dict)
    most: int = 0

    def summary(self) -> Summary:
        start = time.perf_counter()
        self.journal = Journal(self.settings.output)
        skipped = [list(entry) for entry in self.found.skipped]
        self.journal.note({"run": {"cases": len(self.found.cases), "skipped": skipped}})
        self.budget = memory.available() if self.memory_bytes is None else self.memory_bytes
        cores = num_threads()
        jobs = min(self.jobs or cores, max(1, len(self.found.cases)))
        self.threads = max(1, cores // jobs)
        self.settings = replace(self.settings, device_share=1 / jobs)
        waiting = deque(self.found.cases)
        with ThreadPoolExecutor(jobs, thread_name_prefix="fastprep-case") as pool:
            try:
                while (waiting and not self.stop.is_set()) or self.running:
                    while waiting and not self.stop.is_set() and len(self.running) < jobs:
                        if not self._start(waiting[0], pool):
                            break
                        waiting.popleft()
                    self._collect()
            except BaseException:
                # Leaving the pool waits for the cases at work: let them end early.
                self.stop.set()
                raise
        failures = self._write_failures()
        seconds = time.perf_counter() - start
        total = len(self.found.cases)
        return Summary(tuple(self.outcomes), total, seconds, jobs, self.most, self.stop.is_set(), failures)

    def _start(self, case: Case, pool: ThreadPoolExecutor) -> bool:
        """Begin a case or end it at once; False when it must wait for memory."""
        record = self.journal.records.get(case.id)
        try:
            with collected():  # the reader will give the same warnings again
                done = may_be_done(case, self.settings, record)
                same = done and record is not None and record["stamp"] == stamp(case)
                need = 0 if same else plan_case(case, self.settings)[1]
            if need > self.budget:
                msg = f"needs {need / 2**30:.2f} GiB of memory; {self.budget / 2**30:.2f} GiB are free"
                raise TooLargeError(msg)
        except Exception as error:
            self._end(self._failed(case, error))
            return True
        if same:
            self._end(_unchanged(case, record))
            return True
        if self.running and sum(self.running.values()) + need > self.budget:
            return False
        future = pool.submit(self._work, case, record if done else None)
        self.running[future] = need
        self.most = max(self.most, sum(self.running.values()))
        return True

    def _work(self, case: Case, earlier: Record | None) -> Outcome:
        """In a thread of the pool: ``earlier`` is what counts if the files are the same but for their times."""
        try:
            with thread_limit(self.threads):
                if earlier is not None and earlier["source"] == source(case)["sha256"]:
                    self.journal.append(case.id, {**earlier, "stamp": stamp(case)})
                    return _unchanged(case, earlier)
                work = process_subject if case.members else process
                record = work(case, self.settings, Clock(self._check))
                self.journal.append(case.id, record)
            return Outcome(case, "ok", in_fit=record["in_fit"])
        except Cancelled as error:
            return Outcome(case, "cancelled", error=error)
        except Exception as error:
            return self._failed(case, error)

    def _failed(self, case: Case, error: Exception) -> Outcome:
        show_where(error)
        record: dict[str, Any] = {
            "status": "failed",
            "reason": type(error).__name__,
            "message": relative(one_line(error), case),
            "remedy": remedy(error),
        }
        # On a full disk the outcome still tells.
        with suppress(WriteError):
            self.journal.append(case.id, record)
        return Outcome(case, "failed", error=error)

    def _check(self) -> None:
        if self.stop.is_set():
            raise Cancelled

    def _collect(self) -> None:
        for future in wait(self.running, return_when=FIRST_COMPLETED).done if self.running else ():
            del self.running[future]
            self._end(future.result())

    def _end(self, outcome: Outcome) -> None:
        self.outcomes.append(outcome)
        self.on_outcome(outcome)

    def _write_failures(self) -> Path | None:
        rows: Iterable[Record] = (self.journal.records.get(case.id, {}) for case in self.found.cases)
        return write_failures(self.settings.output, [row for row in rows if row.get("status") == "failed"])


def _unchanged(case: Case, record: Record | None) -> Outcome:
    return Outcome(case, "unchanged", in_fit=bool(record and record.get("in_fit")))
