"""From the text of a ``.cu`` file to kernels that can be launched: g++, a cache of libraries, ctypes."""

from __future__ import annotations

import ctypes
import functools
import hashlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Literal

import filelock

Order = Literal["forward", "reverse", "shuffled"]
ORDERS: tuple[Order, ...] = ("forward", "reverse", "shuffled")

#: What shared memory is filled with before every block, as 32-bit words: NaN as float and as double, -143923 as int.
POISON = 0xFFFDCDCD

#: What CUDA allows: threads of a block along (x, y, z) and in all, blocks along (x, y, z), dynamic shared bytes.
MOST_THREADS, MOST_THREADS_IN_ALL = (1024, 1024, 64), 1024
MOST_BLOCKS = (2**31 - 1, 65535, 65535)
MOST_SHARED = 227 * 1024

HEADERS = tuple(sorted(Path(__file__).parent.glob("*.hpp")))

FLAGS = (
    "-std=c++17",
    "-Og",  # compiles in half the time of -O1, and the kernels are as fast
    "-ffp-contract=off",  # as NVRTC's --fmad=false
    "-fno-strict-aliasing",  # nvcc lets 16 bytes be read through a cast pointer
    "-fno-math-errno",
    "-fno-exceptions",
    "-fno-rtti",
    "-fPIC",
    # Two libraries with the same template must not share its __shared__ arrays.
    "-fvisibility=hidden",
    "-fno-gnu-unique",
    "-Wall",
    "-Wextra",
    "-Werror",
    "-Wno-unknown-pragmas",  # unroll
    "-Wno-unused-function",  # helpers of a common header
    "-Wno-unused-parameter",  # of one instantiation, used in another
    "-Wno-unused-but-set-parameter",  # the same, under `if constexpr`
    "-Wno-maybe-uninitialized",  # false alarms, more of them with sanitizers
    "-Wno-type-limits",  # `x < 0` of one dtype is never true of another
    "-fmax-errors=1",
    "-U_FORTIFY_SOURCE",  # its longjmp takes a change of stacks for an attack
)
LINKED = ("-shared", "-Wl,--no-undefined")
PLAIN = ("-Wframe-larger-than=16384",)  # of a fiber's 68 KiB
SANITIZED = (
    "-g1",
    "-fsanitize=address,undefined,float-cast-overflow",
    "-fno-sanitize-recover=all",
    "-Wframe-larger-than=65536",  # of 260 KiB
)


class EmulatorError(RuntimeError):
    """A source that does not compile, or a launch that failed; the message says where."""


class Module:
    """The kernels of one built source. Launches of one module wait for each other; different modules run at once."""

    def __init__(self, path: Path, expressions: Sequence[str]) -> None:
        self.path = path
        self.expressions = tuple(expressions)
        library = ctypes.CDLL(str(path))
        self._launch = library.emulator_launch
        self._launch.restype = ctypes.c_bool
        library.emulator_sizes.restype = ctypes.POINTER(ctypes.c_size_t)
        self._kernels: dict[str, tuple[int, tuple[int, ...]]] = {}
        for number, expression in enumerate(expressions):
            sizes = library.emulator_sizes(ctypes.c_uint(number))
            count = next(i for i in range(4096) if sizes[i] == 0)
            self._kernels[expression] = number, tuple(sizes[:count])

    def launch(
        self,
        expression: str,
        blocks: int | tuple[int, ...],
        threads: int | tuple[int, ...],
        shared: int,
        params: Sequence[bytes],
        *,
        order: Order = "forward",
        seed: int = 0,
    ) -> None:
        """Run a kernel to its end: ``params`` are the bytes of each parameter, pointers included."""
        if expression not in self._kernels:
            raise EmulatorError(f"{expression!r} was not built, only {', '.join(map(repr, self._kernels))}")
        number, sizes = self._kernels[expression]
        if sizes != tuple(map(len, params)):
            given = tuple(map(len, params))
            raise EmulatorError(f"{expression}: takes parameters of {sizes} bytes, got {given}")
        grid, block = _three(blocks), _three(threads)
        _check_launch(expression, grid, block, shared)
        report = ctypes.create_string_buffer(8192)
        memory, pointers = _aligned(params)
        done = self._launch(
            ctypes.c_uint(number),
            (ctypes.c_uint * 3)(*grid),
            (ctypes.c_uint * 3)(*block),
            ctypes.c_size_t(shared),
            pointers,
            ctypes.c_int(ORDERS.index(order)),
            ctypes.c_ulonglong(seed),
            report,
            ctypes.c_size_t(len(report)),
        )
        del memory
        if not done:
            raise EmulatorError(f"{expression}: {report.value.decode(errors='replace')}")


def build(text: str, expressions: Sequence[str], *, name: str, sanitize: bool = False) -> Module:
    """The kernels ``expressions``, such as ``ramp<short, float>``, of a complete source; compiled once and kept.

    ``name`` is the file that messages name where ``text`` has no ``#line`` of its own.
    """
    why_not = missing(sanitize=sanitize)
    if why_not:
        raise EmulatorError(why_not)
    source = _source(text, expressions, name)
    flags = (*FLAGS, *(SANITIZED if sanitize else PLAIN))
    made_from = [*(header.read_text("utf-8") for header in HEADERS), *flags, *LINKED, _compiler()]
    stem = re.sub(r"\W+", "-", Path(name).stem)
    path = _cache() / f"{stem}-{_digest(source, *made_from)}.so"
    folder = _cache() / f"shim-{_digest(*made_from)}"

    def make(library: Path) -> None:
        _once(folder / "all.hpp.gch", lambda parsed: _parse(folder / "all.hpp", flags, parsed))
        _run(["g++", *flags, *LINKED, f"-I{folder}", "-x", "c++", "-", "-o", str(library)], source)

    _once(path, make)
    return Module(path, expressions)


def missing(*, sanitize: bool = False) -> str | None:
    """Why nothing can be built or run here, or None."""
    if sys.platform != "linux":
        return f"no emulator: it runs on Linux, not on {sys.platform}"
    if shutil.which("g++") is None:
        return "no emulator: g++ is not installed"
    if not sanitize:
        return None
    if _sanitizer() is None:
        return "no sanitizers: libasan is not installed"
    if not hasattr(ctypes.CDLL(None), "__asan_init"):
        return "no sanitizers: start this program with the environment of emulator.sanitizer_environment()"
    return None


def sanitizer_environment() -> Mapping[str, str]:
    """What a program that runs sanitized kernels must be started with; empty without libasan."""
    library = _sanitizer()
    if library is None:
        return {}
    # Python's own allocator has no guards between its objects, and keeps some to the end.
    return {"LD_PRELOAD": library, "ASAN_OPTIONS": "detect_leaks=0", "PYTHONMALLOC": "malloc"}


@functools.cache
def _compiler() -> str:
    return subprocess.run(["g++", "--version"], capture_output=True, text=True, check=True, env=_plain()).stdout


@functools.cache
def _sanitizer() -> str | None:
    command = ["g++", "-print-file-name=libasan.so"]
    path = subprocess.run(command, capture_output=True, text=True, check=True, env=_plain()).stdout.strip()
    return path if Path(path).is_absolute() else None


def _plain() -> dict[str, str]:
    """The environment for g++: itself not sanitized, and in English."""
    kept = {key: value for key, value in os.environ.items() if key != "LD_PRELOAD"}
    return kept | {"LC_ALL": "C"}


def _cache() -> Path:
    chosen = os.environ.get("FASTPREP_EMULATOR_CACHE")
    path = Path(chosen or Path(tempfile.gettempdir()) / f"fastprep-emulator-{os.getuid()}")
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    if path.stat().st_uid != os.getuid():
        raise EmulatorError(f"{path} belongs to someone else: libraries in it are not to be trusted")
    return path


def _source(text: str, expressions: Sequence[str], name: str) -> str:
    """One file: the shim, the text, and a table of the kernels, the n-th of them on line n of a file of its own."""
    rows = [f"{{emulator::Bound<({e})>::run, emulator::Bound<({e})>::sizes}}," for e in expressions]
    table = "\n".join(["const emulator::Kernel emulator_kernels[] = {", f'#line 1 "kernels of {name}"', *rows, "};"])
    return f'#include "all.hpp"\n#line 1 "{name}"\n{text}\n{table}\n'


def _digest(*parts: str) -> str:
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:32]


def _once(path: Path, make: Callable[[Path], object]) -> Path:
    """``path``, made elsewhere and moved there, by one process however many ask."""
    if not path.exists():
        path.parent.mkdir(exist_ok=True)
        with filelock.FileLock(f"{path}.lock"):
            if not path.exists():  # another process made it while this one waited
                with tempfile.TemporaryDirectory(dir=path.parent) as folder:
                    make(Path(folder) / path.name)
                    (Path(folder) / path.name).replace(path)
    return path


def _parse(header: Path, flags: Sequence[str], to: Path) -> None:
    """The shim as g++ reads it back: parsing it takes a third of the time of a small source."""
    header.write_text(f'#include "{HEADERS[0].parent / "shim.hpp"}"\n', "utf-8")
    _run(["g++", *flags, "-x", "c++-header", str(header), "-o", str(to)])


def _run(command: Sequence[str], source: str = "") -> None:
    done = subprocess.run(command, input=source, capture_output=True, text=True, check=False, env=_plain())
    if done.returncode != 0:
        raise EmulatorError(_first_error(done.stderr))


def _first_error(log: str) -> str:
    """The line of g++ that says what is wrong and where, then all of it."""
    errors = (line for line in log.splitlines() if "error: " in line or "undefined reference" in line)
    return f"{next(errors, 'g++ failed')}\n{log}"


def _three(size: int | tuple[int, ...]) -> tuple[int, int, int]:
    given = (size,) if isinstance(size, int) else size
    x, y, z = (*given, 1, 1)[:3] if len(given) <= 3 else (0, 0, 0)
    return x, y, z


def _check_launch(expression: str, blocks: Sequence[int], threads: Sequence[int], shared: int) -> None:
    """What a device would refuse."""
    fits = all(0 < n <= most for n, most in zip((*blocks, *threads), (*MOST_BLOCKS, *MOST_THREADS), strict=True))
    x, y, z = threads
    if not fits or x * y * z > MOST_THREADS_IN_ALL or not 0 <= shared <= MOST_SHARED:
        raise EmulatorError(
            f"{expression}: no device launches blocks={tuple(blocks)} threads={tuple(threads)} shared={shared}"
        )


def _aligned(params: Sequence[bytes]) -> tuple[ctypes.Array[ctypes.c_char], ctypes.Array[ctypes.c_void_p]]:
    """The parameters in memory, each at a multiple of 16 bytes, and where they are."""
    offsets = [0]
    for param in params:
        offsets.append(offsets[-1] + -(-len(param) // 16) * 16)
    memory = ctypes.create_string_buffer(offsets[-1] + 16)
    start = -(-ctypes.addressof(memory) // 16) * 16
    for param, offset in zip(params, offsets, strict=False):
        ctypes.memmove(start + offset, param, len(param))
    return memory, (ctypes.c_void_p * len(params))(*(start + offset for offset in offsets[:-1]))
