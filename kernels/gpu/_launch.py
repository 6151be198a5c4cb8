"""Launches: on the stream the arrays' library works on, waited for by nobody, and as few as can be."""

from __future__ import annotations

import struct
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from itertools import groupby
from typing import NamedTuple

from fastprep.core.device_view import DeviceView, device_view
from fastprep.kernels.gpu._compile import driver
from fastprep.kernels.gpu._tables import Table, on_device

_JOBS = struct.Struct("@PPi4x")
#: A launch of one job, which comes by value.
NO_JOBS = _JOBS.pack(0, 0, 0)
#: Every job begins with the address of what it reads and of what it writes.
ADDRESSES = struct.Struct("@PP")


class Launch(NamedTuple):
    """A kernel's run over one job."""

    stem: str
    expression: str
    job: bytes
    blocks: int
    threads: int
    #: Bytes of dynamic shared memory of a block.
    shared: int
    #: Arrays it reads, arrays it writes, and the tables it reads: kept alive until it is launched.
    reads: DeviceView
    writes: DeviceView
    tables: Sequence[Table] = ()
    #: Launches of an earlier stage come first.
    stage: int = 0


_queue: ContextVar[list[Launch] | None] = ContextVar("fastprep_launches", default=None)
_witness: ContextVar[list[Sequence[Launch]] | None] = ContextVar("fastprep_witness", default=None)


def launch(run: Launch) -> None:
    """Queue a kernel on its arrays' stream; inside `merged` until that ends."""
    if run.blocks == 0:
        return
    waiting = _queue.get()
    if waiting is None:
        _launch([run])
    else:
        waiting.append(run)


def launch_alone(run: Launch, reads: Sequence[DeviceView], writes: Sequence[DeviceView]) -> None:
    """Queue a kernel that takes its job alone and touches many arrays; never merged."""
    device, stream = _place(run)
    talk = driver()
    function = talk.function(run.stem, run.expression, device)
    talk.launch(function, run.blocks, run.threads, run.shared, (run.job,), device, stream, reads, writes)


@contextmanager
def merged() -> Iterator[None]:
    """Launches inside that are of one kernel and one stage become one launch, over a table of their jobs."""
    if _queue.get() is not None:
        yield
        return
    waiting: list[Launch] = []
    token = _queue.set(waiting)
    try:
        yield
    finally:
        _queue.reset(token)
    # Not after an error: then nothing is launched.
    kinds = [(r.stage, r.stem, r.expression, r.threads, _place(r)) for r in waiting]
    order = sorted(range(len(waiting)), key=kinds.__getitem__)
    for _, same in groupby(order, key=kinds.__getitem__):
        _launch([waiting[i] for i in same])


def is_merging() -> bool:
    """True inside `merged`."""
    return _queue.get() is not None


@contextmanager
def witnessed() -> Iterator[list[Sequence[Launch]]]:
    """The launches made inside, each with the jobs that were merged into it."""
    made: list[Sequence[Launch]] = []
    token = _witness.set(made)
    try:
        yield made
    finally:
        _witness.reset(token)


def tables(view: DeviceView, *parts: bytes) -> Table:
    """Small tables on the device and stream of an array."""
    talk = driver()
    return on_device(talk, view.device, talk.stream(view), *parts)


def scratch(view: DeviceView, shape: Sequence[int], dtype: str) -> DeviceView:
    """Memory beside an array, of its library's pool, for as long as the result is kept."""
    torch_empty = getattr(view.owner, "new_empty", None)
    if torch_empty is None:
        array = driver().empty(shape, dtype, view.device)
    else:
        array = torch_empty(tuple(shape), dtype=getattr(sys.modules["torch"], dtype))
    return device_view(array)


def _place(run: Launch) -> tuple[int, int]:
    return run.writes.device, driver().stream(run.writes)


def _launch(runs: Sequence[Launch]) -> None:
    first = runs[0]
    device, stream = _place(first)
    talk = driver()
    function = talk.function(first.stem, first.expression, device)
    shared = max(run.shared for run in runs)
    blocks, jobs = first.blocks, NO_JOBS
    if len(runs) > 1:
        starts = [0]
        for run in runs:
            starts.append(starts[-1] + run.blocks)
        blocks = starts.pop()
        table = on_device(
            talk, device, stream, b"".join(run.job for run in runs), struct.pack(f"@{len(starts)}I", *starts)
        )
        jobs = _JOBS.pack(*table.addresses, len(runs))
    seen = _witness.get()
    if seen is not None:
        seen.append(runs)
    reads, writes = [run.reads for run in runs], [run.writes for run in runs]
    talk.launch(function, blocks, first.threads, shared, (first.job, jobs), device, stream, reads, writes)
