"""Every kernel of the GPU compiles for every architecture and fits: registers alone, no local memory, no GPU needed."""

from __future__ import annotations

import hashlib
import sys
from pathlib import Path

import pytest

import nvrtc
from fastprep.kernels.gpu import _compile

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="NVRTC is loaded as its wheel for Linux lays it out")

# Ampere, Hopper, and Blackwell in data centres and in desktops.
ARCHS = ("sm_80", "sm_90", "sm_100", "sm_120")

REGISTERS_PER_BLOCK = 65536
SHARED_PER_BLOCK = 48 * 1024  # what a kernel has without asking for more

FITS = "__global__ void half(float* x) { x[threadIdx.x] *= 0.5f; }"

# The index is known at run time only, so the array has an address and cannot live in registers.
IN_LOCAL_MEMORY = """
template <class T> __global__ void pick(const T* x, T* out, int n) {
  T values[64];
  for (int i = 0; i < 64; ++i) values[(i * n) & 63] = x[i];
  out[threadIdx.x] = values[(threadIdx.x + n) & 63];
}
"""

# 128 sums at once with 64 registers a thread, as many as blocks of 1024 leave.
SPILLS = """
__global__ void __launch_bounds__(1024) sums(float* x, int n) {
  float v[128];
  #pragma unroll
  for (int i = 0; i < 128; ++i) v[i] = x[i * n + threadIdx.x];
  for (int k = 0; k < n; ++k) {
    #pragma unroll
    for (int i = 0; i < 128; ++i) v[i] = v[i] * v[(i + 7) % 128] + 1;
  }
  #pragma unroll
  for (int i = 0; i < 128; ++i) x[i * n + threadIdx.x] = v[i];
}
"""

SHARED = """
template <class T> __global__ void reverse(T* x) {
  __shared__ T values[256];
  values[threadIdx.x] = x[threadIdx.x];
  __syncthreads();
  x[threadIdx.x] = values[255 - threadIdx.x];
}
"""


@pytest.mark.parametrize("arch", ARCHS)
@pytest.mark.parametrize("stem", _compile.STEMS)
def test_every_kernel_compiles_and_fits(stem: str, arch: str, cache: pytest.Cache) -> None:
    threads = _compile.threads(stem)
    misfits = [usage for usage in usages_of(stem, arch, cache) if not fits(usage, threads)]
    assert not misfits, "\n".join(map(str, misfits))


@pytest.mark.parametrize("arch", ARCHS)
def test_local_memory_does_not_fit(arch: str) -> None:
    (usage,) = nvrtc.compile(IN_LOCAL_MEMORY, ["pick<double>"], arch, [], "pick.cu")
    assert usage.stack == 64 * 8
    assert not fits(usage, 32)


@pytest.mark.parametrize("arch", ARCHS)
def test_spilled_registers_do_not_fit(arch: str) -> None:
    (usage,) = nvrtc.compile(SPILLS, ["sums"], arch, [], "sums.cu")
    assert usage.spill_stores > 0 < usage.spill_loads
    assert not fits(usage, 1024)


@pytest.mark.parametrize("arch", ARCHS)
def test_shared_memory_is_reported(arch: str) -> None:
    expressions = ["reverse<short>", "reverse<double>"]
    usages = nvrtc.compile(SHARED, expressions, arch, [], "reverse.cu")
    assert [(usage.expression, usage.static_shared) for usage in usages] == [
        ("reverse<short>", 512),
        ("reverse<double>", 2048),
    ]


def test_a_block_fits_as_far_as_its_registers_reach() -> None:
    (usage,) = nvrtc.compile(FITS, ["half"], "sm_90", [], "half.cu")
    assert usage.stack == usage.spill_stores == usage.spill_loads == usage.static_shared == 0
    assert fits(usage, 1024)
    # Given out eight at a time: 57 are 64, and 65 are 72.
    assert fits(usage._replace(registers=64), 1024) and not fits(usage._replace(registers=65), 1024)


def test_more_kernels_than_one_program_takes_come_back_in_order() -> None:
    text = "template <int N> __global__ void write(int* x) { x[threadIdx.x] = N; }"
    expressions = [f"write<{n}>" for n in range(50)]
    assert [usage.expression for usage in nvrtc.compile(text, expressions, "sm_90", [], "write.cu")] == expressions


@pytest.mark.parametrize(
    ("text", "expression", "message"),
    [
        ('#line 7 "common.cuh"\n__global__ void f() { int x = ; }', "f", r"common\.cuh\(7\): error: expected an expr"),
        ("__device__ int g() {} __global__ void f() {}", "f", r"f\.cu\(1\): warning .*missing return"),
        ("template <class T> __global__ void f() {}", "f<missing>", r"error: .*missing"),
    ],
    ids=["syntax", "warning", "instantiation"],
)
def test_what_does_not_compile_says_where(text: str, expression: str, message: str) -> None:
    with pytest.raises(nvrtc.CompileError, match=message):
        nvrtc.compile(text, [expression], "sm_90", [], "f.cu")


def fits(usage: nvrtc.Usage, threads: int) -> bool:
    """Whether a block of ``threads`` runs, and without a detour through local memory."""
    allocated = -(-usage.registers // 8) * 8  # given out eight at a time
    return (
        usage.stack == usage.spill_stores == usage.spill_loads == 0
        and usage.static_shared <= SHARED_PER_BLOCK
        and usage.registers <= 255
        and allocated * threads <= REGISTERS_PER_BLOCK
    )


def usages_of(stem: str, arch: str, cache: pytest.Cache) -> list[nvrtc.Usage]:
    """Every kernel of one source; from pytest's cache where all that they are made from is as it was."""
    made_from = (_compile.text(stem), _compile.instances(stem), arch, _compile.OPTIONS, f"{stem}.cu")
    harness = Path(nvrtc.__file__).read_bytes()
    key = hashlib.sha256(repr((made_from, nvrtc.version(), harness)).encode()).hexdigest()
    known, rows = cache.get(f"nvrtc/{stem}-{arch}", (None, []))
    if known != key:
        rows = nvrtc.compile(*made_from)
        cache.set(f"nvrtc/{stem}-{arch}", (key, rows))
    return [nvrtc.Usage(*row) for row in rows]
