"""A pipeline fitted on a cohort: several cases at once within the memory there is, merged in the order of their names.

Nothing of a case is kept but what the learned steps add up, so memory does not grow with the cohort.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any

from fastprep.cohort import memory
from fastprep.cohort.cases import Case, Found
from fastprep.cohort.notes import collected, routed
from fastprep.cohort.read import Irregular, describe_case, read_case
from fastprep.cohort.runner import Outcome
from fastprep.cohort.sources import source
from fastprep.cohort.subjects import subjects
from fastprep.cohort.work import Cancelled, straightened
from fastprep.core.errors import ArgumentError, TooLargeError
from fastprep.core.threads import num_threads, thread_limit
from fastprep.pipeline import Pipeline
from fastprep.pipeline.fitting import Lesson, fitted, learn
from fastprep.pipeline.learned import LearnedStep, Seen, voxels_sha256
from fastprep.pipeline.run import Run
from fastprep.pipeline.steps import Step


@dataclass(frozen=True)
class Fitted:
    """The fitted pipeline, how many cases it was fitted on, and how each case ended."""

    pipeline: Pipeline
    cases: int
    outcomes: tuple[Outcome, ...]
    seconds: float

    @property
    def failed(self) -> list[Outcome]:
        """The cases it was not fitted on."""
        return [outcome for outcome in self.outcomes if outcome.status == "failed"]


def fit_cohort(
    found: Found,
    pipeline: Pipeline,
    *,
    irregular: Irregular = "refuse",
    jobs: int | None = None,
    memory_bytes: int | None = None,
    stop: threading.Event | None = None,
    on_outcome: Callable[[Outcome], None] = lambda _: None,
) -> Fitted:
    """Fit the learned steps of ``pipeline`` on the scans of ``found``; label maps among them are left out.

    A case that cannot be read or used is left out, and told; it is not among the cases the result was fitted on.

    Parameters
    ----------
    jobs : cases at work at once; None is one per thread of `num_threads`, which they share evenly.
    memory_bytes : what they may hold together; None is what this machine has left.
    stop : set it to end early, with `Cancelled`.
    on_outcome : called in this thread as each case ends, once for each step that learns.

    Raises
    ------
    ConfigError
        No step has anything to learn.
    ArgumentError
        No case could be used.
    Cancelled
        It was asked to stop.
    """
    start = time.perf_counter()
    cases = _scans(found, pipeline)
    work = _Work(cases, pipeline, irregular, jobs, memory_bytes, stop or threading.Event(), on_outcome)
    with routed():
        try:
            result = fitted(pipeline, work.lessons)
        except ArgumentError as error:
            if work.failed:
                first = next(iter(work.failed.values()))
                msg = f"{error}; {len(work.failed)} cases failed, {first.case.id}: {first.message}"
                raise ArgumentError(msg) from error
            raise
    used = 0 if result.fitted_on is None else len(result.fitted_on.cases)
    return Fitted(result, used, tuple(work.outcomes.values()), time.perf_counter() - start)


def _scans(found: Found, pipeline: Pipeline) -> list[tuple[str | None, Case]]:
    """The scans to learn from; of subjects only those that are whole, each scan with its sequence."""
    if pipeline.fuse is None:
        return [(None, case) for case in found.cases if case.kind != "label"]
    whole = [case for case in subjects(found, pipeline.fuse).cases if case.error is None]
    return [member for case in whole for member in case.members]


@dataclass
class _Work:
    #: Each with the sequence it is of.
    cases: Sequence[tuple[str | None, Case]]
    pipeline: Pipeline
    irregular: Irregular
    jobs: int | None
    memory_bytes: int | None
    stop: threading.Event
    on_outcome: Callable[[Outcome], None]
    outcomes: dict[str, Outcome] = field(default_factory=dict)

    @property
    def failed(self) -> dict[str, Outcome]:
        return {name: outcome for name, outcome in self.outcomes.items() if outcome.status == "failed"}

    def lessons(self, before: Sequence[Step], step: LearnedStep, sequence: str | None) -> Iterator[Lesson]:
        """What a step learns from each case, in their order; those that failed before are not tried again."""
        prefix = replace(self.pipeline, steps=tuple(before), dtype=None)
        cores = num_threads()
        jobs = min(self.jobs or cores, max(1, len(self.cases)))
        self.threads = max(1, cores // jobs)
        self.budget = (memory.available() if self.memory_bytes is None else self.memory_bytes) // jobs
        failed = self.failed
        waiting = deque(case for of, case in self.cases if of == sequence and case.id not in failed)
        running: deque[tuple[Case, Future[Lesson]]] = deque()
        with ThreadPoolExecutor(jobs, thread_name_prefix="fastprep-case") as pool:
            try:
                while waiting or running:
                    while waiting and len(running) < jobs:
                        case = waiting.popleft()
                        running.append((case, pool.submit(self._work, case, prefix, step)))
                    case, future = running.popleft()
                    with suppress(_Failed):
                        yield self._collect(case, future)
            except BaseException:
                # Leaving the pool waits for the cases at work: let them end early.
                self.stop.set()
                raise

    def _collect(self, case: Case, future: Future[Lesson]) -> Lesson:
        try:
            lesson = future.result()
        except Cancelled:
            raise
        except Exception as error:
            self._end(Outcome(case, "failed", error))
            raise _Failed from error
        self._end(Outcome(case, "ok"))
        return lesson

    def _end(self, outcome: Outcome) -> None:
        self.outcomes[outcome.case.id] = outcome
        self.on_outcome(outcome)

    def _work(self, case: Case, prefix: Pipeline, step: LearnedStep) -> Lesson:
        self._check()
        with thread_limit(self.threads), collected():
            scan, held = describe_case(case, self.irregular)
            before = straightened(prefix, scan.grid, self.irregular)
            how: dict[str, Any] = {"modality": scan.modality, "rescale": scan.rescale, "voi": scan.voi}
            plan = before.plan(scan.grid, kind=case.kind, **how)
            need = held + memory.needed(scan, plan)
            if need > self.budget:
                msg = f"needs {need / 2**30:.2f} GiB of memory; {self.budget / 2**30:.2f} GiB are free for a case"
                raise TooLargeError(msg)
            image = read_case(case, self.irregular).image
            self._check()
            seen = Seen(case.id, voxels_sha256(image.array), source(case)["sha256"])
            self._check()
            return Lesson(seen, image.modality, learn(before, step, image, Run(check=self._check)))

    def _check(self) -> None:
        if self.stop.is_set():
            raise Cancelled


class _Failed(Exception):  # noqa: N818 - told already
    """The case is left out."""
