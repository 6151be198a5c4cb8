"""NVRTC from its wheel, without a GPU: CUDA C to machine code, and what each kernel takes of a multiprocessor.

NVRTC holds its own ptxas, which reports into the compilation's log: no toolkit and no driver are needed.
"""

from __future__ import annotations

import ctypes
import functools
import importlib.metadata
import os
import re
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import chain
from typing import NamedTuple

WHEEL = "nvidia-cuda-nvrtc"

# Kernels per program: fewer parse the source, and make what they share, too often; more leave a core idle at the end.
_TOGETHER = 32

# What ptxas -v says of one kernel. The name is mangled; what is zero may be left out after the registers.
_REPORT = re.compile(
    r"entry function '(\S+)'.*?"
    r"(\d+) bytes stack frame, (\d+) bytes spill stores, (\d+) bytes spill loads.*?"
    r"Used (\d+) registers([^\n]*)",
    re.DOTALL,
)


class CompileError(Exception):
    """The log of a compilation that failed, or that warned."""


class Usage(NamedTuple):
    """What one kernel takes: registers and stack per thread, static shared memory per block, the last four in bytes."""

    expression: str
    registers: int
    stack: int
    spill_stores: int
    spill_loads: int
    static_shared: int


def version() -> tuple[int, int]:
    """Major and minor version of the library."""
    major, minor = ctypes.c_int(), ctypes.c_int()
    _check(_library().nvrtcVersion(ctypes.byref(major), ctypes.byref(minor)))
    return major.value, minor.value


def compile(text: str, expressions: Sequence[str], arch: str, options: Sequence[str], name: str) -> list[Usage]:  # noqa: A001
    """Compile the kernels ``expressions`` name, ``"ramp<short, float>"``, to machine code of ``arch``, ``"sm_90"``.

    ``name`` is the file that messages speak of. Warnings fail as errors do: nobody reads the log of what passed.
    """
    parts = [expressions[i : i + _TOGETHER] for i in range(0, len(expressions), _TOGETHER)]
    # NVRTC compiles side by side in threads: ctypes gives the lock of the interpreter back during a call.
    with ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:
        usages = pool.map(lambda part: _compile_part(text, part, arch, options, name), parts)
        return list(chain.from_iterable(usages))


def _compile_part(
    text: str, expressions: Sequence[str], arch: str, options: Sequence[str], name: str
) -> Iterator[Usage]:
    __tracebackhide__ = True  # the log says it all
    lib = _library()
    flags = [
        *options,
        f"--gpu-architecture={arch}",  # sm_, not compute_: on to machine code, where registers are known
        "--ptxas-options=-v",
        "--diag-suppress=177",  # "never referenced": each program takes some kernels of a file and leaves the others
        "--modify-stack-limit=false",  # the limit is the process's, and threads would restore each other's
    ]
    program = ctypes.c_void_p()
    _check(lib.nvrtcCreateProgram(ctypes.byref(program), text.encode(), name.encode(), 0, None, None))
    try:
        for expression in expressions:
            _check(lib.nvrtcAddNameExpression(program, expression.encode()))
        encoded = (ctypes.c_char_p * len(flags))(*(flag.encode() for flag in flags))
        failed = lib.nvrtcCompileProgram(program, len(flags), encoded)
        log = _log(program)
        if failed or re.search(r"\bwarning\b", log):
            raise CompileError(f"{name} for {arch}\n{log}")
        symbols = [_symbol(program, expression) for expression in expressions]
    finally:
        lib.nvrtcDestroyProgram(ctypes.byref(program))
    reports = {symbol: report for symbol, *report in _REPORT.findall(log)}
    if missing := set(symbols) - set(reports):
        raise CompileError(f"{name} for {arch}: no report of {', '.join(sorted(missing))} in\n{log}")
    return (_usage(expression, *reports[symbol]) for expression, symbol in zip(expressions, symbols, strict=True))


def _usage(expression: str, stack: str, stores: str, loads: str, registers: str, rest: str) -> Usage:
    # Functions that were not inlined have stacks of their own, on top of the kernel's.
    cumulative = re.search(r"(\d+) bytes cumulative stack", rest)
    shared = re.search(r"(\d+) bytes smem", rest)
    return Usage(
        expression,
        int(registers),
        int(cumulative[1] if cumulative else stack),
        int(stores),
        int(loads),
        int(shared[1] if shared else 0),
    )


def _log(program: ctypes.c_void_p) -> str:
    size = ctypes.c_size_t()
    _check(_library().nvrtcGetProgramLogSize(program, ctypes.byref(size)))
    log = ctypes.create_string_buffer(size.value)
    _check(_library().nvrtcGetProgramLog(program, log))
    return log.value.decode(errors="replace")


def _symbol(program: ctypes.c_void_p, expression: str) -> str:
    symbol = ctypes.c_char_p()
    _check(_library().nvrtcGetLoweredName(program, expression.encode(), ctypes.byref(symbol)))
    assert symbol.value
    return symbol.value.decode()


def _check(result: int) -> None:
    if result:
        raise CompileError(_library().nvrtcGetErrorString(result).decode())


@functools.cache
def _library() -> ctypes.CDLL:
    files = importlib.metadata.files(WHEEL) or []
    # The builtins first: NVRTC asks for them by name alone, and not every version looks beside itself.
    for start in ("libnvrtc-builtins.so.", "libnvrtc.so."):
        (path,) = (file.locate() for file in files if file.name.startswith(start))
        library = ctypes.CDLL(str(path))
    library.nvrtcGetErrorString.restype = ctypes.c_char_p
    return library
