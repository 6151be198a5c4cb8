"""The only loader of CUDA: sources with their headers inlined, for a driver that compiles them once per device.

CuPy's cache on disk knows a kernel by its text alone, so headers are made part of the text.
"""

from __future__ import annotations

import importlib
import os
from functools import cache
from pathlib import Path

from fastprep.core.errors import DeviceError
from fastprep.kernels.gpu._driver import FORKED, Driver, make_driver

HERE = Path(__file__).parent
STEMS = tuple(sorted(path.stem for path in HERE.glob("*.cu")))
#: No contraction: a * b + c has the bits it has on the CPU.
OPTIONS = ("--std=c++17", "--fmad=false")


class _State:
    driver: Driver | None = None
    used = False
    forked = False


def driver() -> Driver:
    """What talks to the device: CuPy, unless a test has put something in its place."""
    if _State.forked:
        raise DeviceError(FORKED)
    if _State.driver is None:
        _State.driver = make_driver()
    _State.used = True
    return _State.driver


def use_driver(replacement: Driver | None) -> Driver | None:
    """Put ``replacement`` in CuPy's place and return what was there."""
    before, _State.driver = _State.driver, replacement
    return before


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
