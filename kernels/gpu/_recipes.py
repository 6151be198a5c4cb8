"""Calls done again: on a small volume, what a call makes of its arguments costs more than its launch."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

from fastprep.core.device_view import DeviceView
from fastprep.kernels.gpu._compile import driver
from fastprep.kernels.gpu._launch import ADDRESSES, NO_JOBS, Launch, is_merging, merged, witnessed
from fastprep.kernels.gpu._tables import Table


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


_MOST_RECIPES = 1024
_recipes: dict[Hashable, tuple[_Step, ...]] = {}


@contextmanager
def recorded(key: Hashable, x: DeviceView, out: DeviceView) -> Iterator[None]:
    """Launches inside, from ``x`` into ``out``, can be repeated by `replay` for other arrays of the same layout.

    ``key`` must hold all that the launches depend on besides. Calls that need scratch, or several jobs, are not kept.
    """
    with witnessed() as launches, merged():
        yield
    if launches and all(_is_repeatable(runs, x, out) for runs in launches):
        if len(_recipes) >= _MOST_RECIPES:
            _recipes.clear()
        _recipes[_where(key, x, out)] = tuple(_step(runs[0], x, out) for runs in launches)


def replay(key: Hashable, x: DeviceView, out: DeviceView) -> bool:
    """Do again what was `recorded` under ``key``; False when nothing was, or launches are being merged."""
    if is_merging():
        return False
    steps = _recipes.get(_where(key, x, out))
    if steps is None:
        return False
    talk = driver()
    stream = talk.stream(out)
    for step in steps:
        job = ADDRESSES.pack(x.address + step.x, out.address + step.out) + step.rest
        talk.launch(
            step.function, step.blocks, step.threads, step.shared, (job, NO_JOBS), out.device, stream, (x,), (out,)
        )
    return True


def _where(key: Hashable, x: DeviceView, out: DeviceView) -> Hashable:
    """All a recipe depends on: layouts, how addresses are aligned, device and stream, whose tables it reads."""
    here = (x.shape, x.strides, x.dtype, x.address % 16, out.shape, out.strides, out.dtype, out.address % 16)
    talk = driver()
    return (key, *here, out.device, talk.stream(out), id(talk))


def _is_repeatable(runs: Sequence[Launch], x: DeviceView, out: DeviceView) -> bool:
    """False for several jobs, and for one that reads or writes anything but the recipe's own arrays."""
    return len(runs) == 1 and _holds(x, runs[0].reads) and _holds(out, runs[0].writes)


def _step(run: Launch, x: DeviceView, out: DeviceView) -> _Step:
    function = driver().function(run.stem, run.expression, out.device)
    start, end = ADDRESSES.unpack_from(run.job)
    rest = run.job[ADDRESSES.size :]
    return _Step(function, run.blocks, run.threads, run.shared, start - x.address, end - out.address, rest, run.tables)


def _holds(whole: DeviceView, part: DeviceView) -> bool:
    (low, high), (start, stop) = whole.span, part.span
    return low <= start and stop <= high
