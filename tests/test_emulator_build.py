"""How CUDA sources are built for the host: once, whoever asks, and with the sanitizers of g++."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from emulator import EmulatorError, build, missing, sanitizer_environment

pytestmark = pytest.mark.skipif(missing() is not None, reason=str(missing()))

TESTS = Path(__file__).parent
HALF = "template <class T> __global__ void half(T* x) { x[threadIdx.x] /= 2; }"
BUILD = f"""
import sys; sys.path.insert(0, {str(TESTS)!r})
from emulator import EmulatorError, build
build("__global__ void f(int n) {{}}", ["f"], name="f.cu").launch("f", 1, 1, 0, [bytes(4)])
"""


def test_a_source_is_compiled_once_however_many_processes_ask(tmp_path: Path) -> None:
    compiler = tmp_path / "bin" / "g++"
    compiler.parent.mkdir()
    log = tmp_path / "log"
    compiler.write_text(f'#!/bin/sh\necho "$@" >> {log}\nexec {shutil.which("g++")} "$@"\n', "utf-8")
    compiler.chmod(0o755)
    environment = os.environ | {
        "PATH": f"{compiler.parent}:{os.environ['PATH']}",
        "FASTPREP_EMULATOR_CACHE": str(tmp_path / "cache"),
    }
    command = [sys.executable, "-c", BUILD]
    programs = [subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True) for _ in range(4)]
    for program in programs:
        _, errors = program.communicate(timeout=120)
        assert program.returncode == 0, errors
    assert sum("-shared" in line for line in log.read_text("utf-8").splitlines()) == 1
    assert sum("c++-header" in line for line in log.read_text("utf-8").splitlines()) == 1
    left = sorted(path.name for path in (tmp_path / "cache").rglob("*") if path.is_file())
    assert [re.sub("-.*[.]so", ".so", name) for name in left] == [
        "all.hpp",
        "all.hpp.gch",
        "all.hpp.gch.lock",
        "f.so",
        "f.so.lock",
    ]


def test_a_second_build_only_loads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FASTPREP_EMULATOR_CACHE", str(tmp_path))
    path = build(HALF, ["half<int>"], name="half.cu").path
    assert build(f"{HALF}// other text", ["half<int>"], name="half.cu").path != path
    monkeypatch.setattr("emulator._build._run", None)
    assert build(HALF, ["half<int>"], name="half.cu").path == path


SANITIZED = """
__global__ void behind_the_heap(int* x, int n) { x[n + threadIdx.x] = 1; }
__global__ void behind_dynamic_shared(int* x, int n) { ((int*)emulator_dynamic_shared())[n] = 1; }
__global__ void behind_static_shared(int* x, int n) {
    __shared__ int tile[16];
    tile[n] = 1;
    x[0] = tile[n - 1];
}
__global__ void overflow(int* x, int n) { x[0] = n + 0x7fffffff; }
__global__ void shift(int* x, int n) { x[0] = 1 << (2 * n); }
__global__ void misaligned(int* x, int n) { *reinterpret_cast<int4*>(x + 1) = make_int4(n, n, n, n); }
__global__ void cast(int* x, int n) { x[0] = static_cast<int>(n * 1e9f); }
template <class T> __global__ void clean(T* x, int n) {
    __shared__ T tile[256];
    T* dynamic = static_cast<T*>(emulator_dynamic_shared());
    T local[8];
    for (int i = 0; i < 8; ++i) local[(i + threadIdx.x) % 8] = i;
    dynamic[threadIdx.x] = 1;
    tile[threadIdx.x] = 0;
    for (int i = 0; i < 8; ++i) {
        __syncthreads();
        tile[threadIdx.x] += dynamic[(threadIdx.x + i) % 256] + __shfl_xor_sync(0xffffffffu, local[i], i) - local[i];
    }
    if (threadIdx.x % 2) return;
    atomicAdd(x, tile[threadIdx.x]);
}
__global__ void apart(int* x, int n) {
    volatile int local[100];
    local[threadIdx.x] = n;
    if (threadIdx.x) __syncthreads();
    x[0] = local[threadIdx.x];
}
"""
PROGRAM = f"""
import ctypes, sys, threading; sys.path.insert(0, {str(TESTS)!r})
from emulator import EmulatorError, build
kernels = "behind_the_heap behind_dynamic_shared behind_static_shared overflow shift misaligned cast clean<int> apart"
module = build({SANITIZED!r}, kernels.split(), name="sanitized.cu", sanitize=True)
x = (ctypes.c_int * 16)()
params = [ctypes.addressof(x).to_bytes(8, "little"), (16).to_bytes(4, "little")]
def run():
    if sys.argv[1] != "clean<int>":
        return module.launch(sys.argv[1], 1, 1, 64, params)
    for order in ("forward", "reverse", "shuffled"):
        try:
            module.launch("apart", 2, 32, 0, params, order=order)
        except EmulatorError:
            x[0] = 0
            module.launch("clean<int>", 4, 256, 1024, params, order=order)
            print(x[0])
run()
thread = threading.Thread(target=run)  # the same fibers, another thread
thread.start()
thread.join()
"""


def sanitized(kernel: str, **environment: str) -> subprocess.CompletedProcess[str]:
    if not sanitizer_environment():
        pytest.skip(str(missing(sanitize=True)))
    return subprocess.run(
        [sys.executable, "-c", PROGRAM, kernel],
        env=os.environ | dict(sanitizer_environment()) | environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


@pytest.mark.parametrize(
    ("kernel", "said"),
    [
        ("behind_the_heap", "heap-buffer-overflow"),
        ("behind_dynamic_shared", "heap-buffer-overflow"),
        ("behind_static_shared", "index 16 out of bounds"),
        ("overflow", "signed integer overflow"),
        ("shift", "shift exponent 32 is too large"),
        ("misaligned", "misaligned address"),
        ("cast", "1.6e+10 is outside the range"),
    ],
)
def test_sanitizers_find_what_reaches_too_far_or_is_undefined(kernel: str, said: str) -> None:
    done = sanitized(kernel)
    assert done.returncode != 0
    assert said in done.stderr
    line = SANITIZED[: SANITIZED.index(f" {kernel}(")].count("\n") + 1
    assert re.search(rf"sanitized.cu:({line}|{line + 2})\b", done.stderr), done.stderr


@pytest.mark.parametrize("use_after_return", ["0", "1"])
def test_sanitizers_say_nothing_about_fibers(use_after_return: str) -> None:
    options = sanitizer_environment().get("ASAN_OPTIONS", "")
    done = sanitized("clean<int>", ASAN_OPTIONS=f"{options}:detect_stack_use_after_return={use_after_return}")
    assert (done.returncode, done.stderr) == (0, "")
    x = np.zeros(1, np.int32)
    given = [x.ctypes.data.to_bytes(8, "little"), (16).to_bytes(4, "little")]
    build(SANITIZED, ["clean<int>"], name="sanitized.cu").launch("clean<int>", 4, 256, 1024, given)
    assert done.stdout.split() == [str(x[0])] * 6


def test_sanitizers_need_their_environment() -> None:
    why = missing(sanitize=True)
    if why is None:
        pytest.skip("this program runs with it")
    with pytest.raises(EmulatorError, match="no sanitizers: "):
        build(SANITIZED, ["cast"], name="sanitized.cu", sanitize=True)
