"""The only loader of CUDA: sources with their headers inlined, compiled on first use per device, launched.

CuPy's cache on disk knows a kernel by its text alone, so headers are made part of the text. Kernels run on the
stream their arrays' library works on, and nothing here waits for them.
"""

from __future__ import annotations

import importlib
import os
import struct
import sys
from collections.abc import Hashable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache
from itertools import groupby
from pathlib import Path
from typing import Any, NamedTuple

from fastprep.core.device_view import DeviceView, device_view
from fastprep.core.errors import DeviceError
from fastprep.kernels.gpu._driver import FORKED, Driver, make_driver
from fastprep.kernels.gpu._tables import Table, on_device

HERE = Path(__file__).parent
STEMS = tuple(sorted(path.stem for path in HERE.glob("*.cu")))
#: No contraction: a * b + c has the bits it has on the CPU.
OPTIONS = ("--std=c++17", "--fmad=false")

_JOBS = struct.Struct("@PPi4x")
_NO_JOBS = _JOBS.pack(0, 0, 0)
#: Every job begins with the address of what it reads and of what it writes.
_ADDRESSES = struct.Struct("@PP")


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


class _State:
    driver: Driver | None = None
    used = False
    forked = False


class _Step(NamedTuple):
    """A launch of a recipe: its job is two addresses, relative to input and output, and the rest."""

    function: Any
    blocks: int
    threads: int
    shared: int
    x: int
    out: int
    rest: bytes
    tables: Sequence[Table]


class _Recording(NamedTuple):
    x: DeviceView
    out: DeviceView
    steps: list[_Step | None]


_MOST_RECIPES = 1024
_recipes: dict[Hashable, tuple[_Step, ...]] = {}
_recording: ContextVar[_Recording | None] = ContextVar("fastprep_recording", default=None)
_queue: ContextVar[list[Launch] | None] = ContextVar("fastprep_launches", default=None)


def driver() -> Driver:
    """What talks to the device: CuPy, unless a test has put something in its place."""
    if _State.forked:
        raise DeviceError(FORKED)
    if _State.driver is None:
        _State.driver = make_driver()
    _State.used = True
    return _State.driver


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


def use_driver(replacement: Driver | None) -> Driver | None:
    """Put ``replacement`` in CuPy's place and return what was there."""
    before, _State.driver = _State.driver, replacement
    return before


def launch(run: Launch) -> None:
    """Queue a kernel on its arrays' stream; inside `merged` until that ends."""
    if run.blocks == 0:
        return
    waiting = _queue.get()
    if waiting is None:
        _launch([run])
    else:
        waiting.append(run)


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


@contextmanager
def recorded(key: Hashable, x: DeviceView, out: DeviceView) -> Iterator[None]:
    """Launches inside, from ``x`` into ``out``, can be repeated by `replay` for other arrays of the same layout.

    What a call makes of its arguments costs more than its launch on a small volume; ``key`` must hold all of it. Calls
    that need scratch, or several jobs, are not kept.
    """
    steps: list[_Step | None] = []
    token = _recording.set(_Recording(x, out, steps))
    try:
        with merged():
            yield
    finally:
        _recording.reset(token)
    if steps and None not in steps:
        if len(_recipes) >= _MOST_RECIPES:
            _recipes.clear()
        _recipes[_where(key, x, out)] = tuple(step for step in steps if step is not None)


def replay(key: Hashable, x: DeviceView, out: DeviceView) -> bool:
    """Do again what was `recorded` under ``key``; False when nothing was, or launches are being merged."""
    if _queue.get() is not None:
        return False
    steps = _recipes.get(_where(key, x, out))
    if steps is None:
        return False
    talk = driver()
    stream = talk.stream(out)
    for step in steps:
        job = _ADDRESSES.pack(x.address + step.x, out.address + step.out) + step.rest
        talk.launch(
            step.function, step.blocks, step.threads, step.shared, (job, _NO_JOBS), out.device, stream, (x,), (out,)
        )
    return True


@cache
def text(stem: str) -> str:
    """A source file with its headers in place, and lines that tell the compiler where each came from."""
    return _inlined(HERE / f"{stem}.cu", set())


def instances(stem: str) -> tuple[str, ...]:
    """Every instantiation the launcher of a source may ask for."""
    names: tuple[str, ...] = importlib.import_module(f"fastprep.kernels.gpu.{stem}").INSTANCES
    return names


def threads(stem: str) -> int:
    """Threads of the launcher's largest block."""
    count: int = importlib.import_module(f"fastprep.kernels.gpu.{stem}").THREADS
    return count


def _where(key: Hashable, x: DeviceView, out: DeviceView) -> Hashable:
    """All a recipe depends on: layouts, how addresses are aligned, device and stream, whose tables it reads."""
    here = (x.shape, x.strides, x.dtype, x.address % 16, out.shape, out.strides, out.dtype, out.address % 16)
    talk = driver()
    return (key, *here, out.device, talk.stream(out), id(talk))


def _place(run: Launch) -> tuple[int, int]:
    return run.writes.device, driver().stream(run.writes)


def _launch(runs: Sequence[Launch]) -> None:
    first = runs[0]
    device, stream = _place(first)
    talk = driver()
    function = talk.function(first.stem, first.expression, device)
    shared = max(run.shared for run in runs)
    blocks, jobs = first.blocks, _NO_JOBS
    if len(runs) > 1:
        starts = [0]
        for run in runs:
            starts.append(starts[-1] + run.blocks)
        blocks = starts.pop()
        table = on_device(
            talk, device, stream, b"".join(run.job for run in runs), struct.pack(f"@{len(starts)}I", *starts)
        )
        jobs = _JOBS.pack(*table.addresses, len(runs))
    recording = _recording.get()
    if recording is not None:
        recording.steps.append(_step(recording, function, runs))
    reads, writes = [run.reads for run in runs], [run.writes for run in runs]
    talk.launch(function, blocks, first.threads, shared, (first.job, jobs), device, stream, reads, writes)


def _step(recording: _Recording, function: Any, runs: Sequence[Launch]) -> _Step | None:
    """A launch as a step of a recipe; None where it reads or writes anything but the recipe's own arrays."""
    run = runs[0]
    if len(runs) > 1 or not (_holds(recording.x, run.reads) and _holds(recording.out, run.writes)):
        return None
    x, out = _ADDRESSES.unpack_from(run.job)
    x, out, rest = x - recording.x.address, out - recording.out.address, run.job[_ADDRESSES.size :]
    return _Step(function, run.blocks, run.threads, run.shared, x, out, rest, run.tables)


def _holds(whole: DeviceView, part: DeviceView) -> bool:
    (low, high), (start, stop) = whole.span, part.span
    return low <= start and stop <= high


def _inlined(path: Path, seen: set[Path]) -> str:
    lines = [f'#line 1 "{path.name}"']
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        if line.startswith('#include "'):
            header = HERE / line.split('"')[1]
            if header not in seen:
                seen.add(header)
                lines.append(_inlined(header, seen))
            lines.append(f'#line {number + 1} "{path.name}"')
        elif line != "#pragma once":
            lines.append(line)
        else:
            lines.append("")
    return "\n".join(lines) + "\n"


def _after_fork() -> None:
    _State.forked = _State.forked or _State.used


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
