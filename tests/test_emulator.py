"""CUDA sources on the host: right answers for right kernels, and a report for each way to be wrong."""

from __future__ import annotations

import re
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from emulator import ORDERS, POISON, EmulatorError, Module, Order, build, missing

pytestmark = pytest.mark.skipif(missing() is not None, reason=str(missing()))

Array = npt.NDArray[Any]


def at(x: Array) -> bytes:
    """The parameter of a kernel that is a pointer to `x`."""
    return x.ctypes.data.to_bytes(8, "little")


def i32(value: int) -> bytes:
    return value.to_bytes(4, "little", signed=True)


REDUCE = """
template <class T> __device__ __forceinline__ T warp_sum(T v) {
    for (int step = 16; step > 0; step /= 2) v += __shfl_down_sync(0xffffffffu, v, step);
    return v;
}

template <class T>
__global__ void __launch_bounds__(1024) total(const T* __restrict__ x, T* __restrict__ sum, int n) {
    __shared__ T sums[32];
    const int i = blockIdx.x * blockDim.x + threadIdx.x;
    T v = warp_sum(i < n ? x[i] : T(0));
    if (threadIdx.x < 32) sums[threadIdx.x] = 0;
    __syncthreads();
    if (threadIdx.x % warpSize == 0) sums[threadIdx.x / 32] = v;
    __syncthreads();
    if (threadIdx.x < 32) {
        v = warp_sum(sums[threadIdx.x]);
        if (threadIdx.x == 0) atomicAdd(sum, v);
    }
}
"""


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize(("n", "threads"), [(1, 32), (33, 64), (1000, 128), (4097, 1024)])
def test_a_block_reduction_is_the_sum(n: int, threads: int, order: Order) -> None:
    module = build(REDUCE, ["total<int>", "total<float>", "total<double>"], name="reduce.cu")
    for name, dtype in (("int", np.int32), ("float", np.float32), ("double", np.float64)):
        x = np.random.default_rng(n).integers(-100, 100, n).astype(dtype)
        total = np.zeros(1, dtype)
        module.launch(f"total<{name}>", -(-n // threads), threads, 0, [at(x), at(total), i32(n)], order=order, seed=n)
        assert total[0] == x.sum()


LANES = """
#define FULL 0xffffffffu
__global__ void ballot(unsigned* out) { out[threadIdx.x] = __ballot_sync(FULL, threadIdx.x % 3 == 0); }
__global__ void votes(int* out) {
    const int i = threadIdx.x;
    out[i] = __any_sync(FULL, i == 5) | __any_sync(FULL, 0) << 1 | __all_sync(FULL, i < 40) << 2
           | __all_sync(FULL, i != 5) << 3 | __syncthreads_or(i == 7) << 4 | __syncthreads_and(i == 7) << 5
           | __syncthreads_count(i < 9) << 6;
}
__global__ void halves(int* out) {
    const int i = threadIdx.x;
    out[i] = i < 16 ? __shfl_xor_sync(0x0000ffffu, i, 1) : __shfl_sync(0xffff0000u, i, 20);
}
__global__ void overlapping(int* out) {
    const int i = threadIdx.x;
    int v = i;
    if (i != 2) v = __shfl_xor_sync(0x3u, v, 1);
    if (i != 1) v += 10 * __shfl_sync(0x5u, v, 2);
    out[i] = v;
}
__global__ void segments(int* out) {
    const int i = threadIdx.x, n = blockDim.x;
    out[i] = __shfl_up_sync(FULL, i, 3, 8);
    out[n + i] = __shfl_down_sync(FULL, i, 3, 8);
    out[2 * n + i] = __shfl_xor_sync(FULL, i, 8, 8);
    out[3 * n + i] = __shfl_sync(FULL, i, 11, 8);
}
__global__ void wide(double* out) { out[threadIdx.x] = __shfl_sync(FULL, threadIdx.x + 0.25, 1); }
__global__ void nobody(unsigned* out) { out[threadIdx.x] = __shfl_down_sync(FULL, threadIdx.x, 4); }
"""


@pytest.fixture
def lanes() -> Module:
    names = ["ballot", "votes", "halves", "overlapping", "segments", "wide", "nobody"]
    return build(LANES, names, name="lanes.cu")


@pytest.mark.parametrize("order", ORDERS)
def test_a_partial_warp_votes_with_the_lanes_it_has(lanes: Module, order: Order) -> None:
    out = np.zeros(40, np.uint32)
    lanes.launch("ballot", 1, 40, 0, [at(out)], order=order)
    bits = (np.arange(40) % 3 == 0).astype(np.uint64)
    assert (out[:32] == (bits[:32] << np.arange(32, dtype=np.uint64)).sum()).all()
    assert (out[32:] == (bits[32:] << np.arange(8, dtype=np.uint64)).sum()).all()


@pytest.mark.parametrize("order", ORDERS)
def test_votes_are_those_of_the_warp_or_the_block(lanes: Module, order: Order) -> None:
    out = np.zeros(40, np.int32)
    lanes.launch("votes", 1, 40, 0, [at(out)], order=order)
    block = 1 << 4 | 9 << 6
    assert (out[:32] == (1 | 1 << 2 | block)).all()
    assert (out[32:] == (1 << 2 | 1 << 3 | block)).all()


@pytest.mark.parametrize("order", ORDERS)
def test_lanes_wait_for_those_of_their_mask_only(lanes: Module, order: Order) -> None:
    out = np.zeros(32, np.int32)
    lanes.launch("halves", 1, 32, 0, [at(out)], order=order)
    assert out.tolist() == [i ^ 1 for i in range(16)] + [20] * 16
    out = np.zeros(3, np.int32)
    lanes.launch("overlapping", 1, 3, 0, [at(out)], order=order)
    assert out.tolist() == [21, 0, 22]


@pytest.mark.parametrize("order", ORDERS)
def test_shuffles_stay_in_their_segments(lanes: Module, order: Order) -> None:
    out = np.zeros((4, 32), np.int32)
    lanes.launch("segments", 1, 32, 0, [at(out)], order=order)
    i = np.arange(32)
    np.testing.assert_array_equal(out[0], np.where(i % 8 < 3, i, i - 3))
    np.testing.assert_array_equal(out[1], np.where(i % 8 > 4, i, i + 3))
    np.testing.assert_array_equal(out[2], np.where(i ^ 8 > i, i, i ^ 8))
    np.testing.assert_array_equal(out[3], i // 8 * 8 + 3)


def test_eight_bytes_are_shuffled_whole(lanes: Module) -> None:
    out = np.zeros(32)
    lanes.launch("wide", 1, 32, 0, [at(out)])
    assert (out == 1.25).all()


def test_a_shuffle_from_a_lane_that_is_not_there_gives_poison(lanes: Module) -> None:
    out = np.zeros(8, np.uint32)
    lanes.launch("nobody", 1, 8, 0, [at(out)])
    assert out.tolist() == [4, 5, 6, 7] + [POISON] * 4


SHARED = """
template <class T> __device__ T* helper() {
    __shared__ T words[5];
    return words;
}
template <class T> __global__ void before_writing(unsigned* out) {
    __shared__ T tile[3];
    T* dynamic = static_cast<T*>(emulator_dynamic_shared());
    T* mine[3] = {tile, helper<T>(), dynamic};
    for (int i = 0; i < 3; ++i) out[blockIdx.x * 3 + i] = reinterpret_cast<unsigned*>(mine[i])[threadIdx.x];
    __syncthreads();
    for (int i = 0; i < 3; ++i) mine[i][threadIdx.x] = T(7);
}
"""


def test_shared_memory_is_poisoned_before_every_block() -> None:
    module = build(SHARED, ["before_writing<int>", "before_writing<float>"], name="shared.cu")
    for name in module.expressions * 2:
        out = np.zeros((4, 3), np.uint32)
        module.launch(name, 4, 1, 12, [at(out)])
        assert (out == POISON).all()
    assert np.isnan(np.array(POISON, np.uint32).view(np.float32))
    assert np.isnan(np.array([POISON] * 2, np.uint32).view(np.float64))


def test_dynamic_shared_memory_ends_where_the_launch_says() -> None:
    text = "__global__ void fill(int n) { for (int i = 0; i < n; ++i) ((char*)emulator_dynamic_shared())[i] = 1; }"
    module = build(text, ["fill"], name="fill.cu")
    module.launch("fill", 2, 1, 33, [i32(33)])
    with pytest.raises(EmulatorError, match=r"block \(0, 0, 0\): something was written behind its dynamic shared"):
        module.launch("fill", 2, 1, 33, [i32(34)])


RACES = """
#ifdef RIGHT
#define BARRIER __syncthreads()
#else
#define BARRIER
#endif
__global__ void neighbour(int* out) {
    __shared__ int tile[64];
    tile[threadIdx.x] = threadIdx.x;
    BARRIER;
    out[threadIdx.x] = tile[(threadIdx.x + 1) % blockDim.x];
}
// Warps that shuffle on their way: between them nothing orders the write and the read.
__global__ void other_warp(int* out) {
    __shared__ int tile[64];
    tile[threadIdx.x] = __shfl_xor_sync(0xffffffffu, static_cast<int>(threadIdx.x), 1);
    const int v = __shfl_xor_sync(0xffffffffu, 1, 1);
    BARRIER;
    out[threadIdx.x] = v + tile[threadIdx.x ^ 32];
}
__global__ void last_block_wins(int* out) { out[0] = blockIdx.x; }
"""


def results(module: Module, kernel: str, blocks: int, threads: int) -> list[bytes]:
    """What comes out in each order, the shuffled one under two seeds."""
    found = []
    for order, seed in (("forward", 0), ("reverse", 0), ("shuffled", 1), ("shuffled", 2)):
        out = np.zeros(threads, np.int32)
        module.launch(kernel, blocks, threads, 0, [at(out)], order=order, seed=seed)  # type: ignore[arg-type]
        found.append(out.tobytes())
    return found


@pytest.mark.parametrize("kernel", ["neighbour", "other_warp"])
def test_a_missing_barrier_shows_as_other_bits_in_another_order(kernel: str) -> None:
    wrong = build(RACES, [kernel], name="races.cu")
    assert len(set(results(wrong, kernel, 1, 64))) > 1
    right = build(f"#define RIGHT\n{RACES}", [kernel], name="races.cu")
    assert len(set(results(right, kernel, 1, 64))) == 1


def test_blocks_too_run_in_the_order_asked_for() -> None:
    module = build(RACES, ["last_block_wins"], name="races.cu")
    last = [int.from_bytes(bits[:4], "little") for bits in results(module, "last_block_wins", 100, 1)]
    assert last[:2] == [99, 0]
    assert len(set(last)) == 4


def test_the_same_seed_is_the_same_order() -> None:
    module = build(RACES, ["neighbour"], name="races.cu")
    assert results(module, "neighbour", 1, 64) == results(module, "neighbour", 1, 64)


WRONG = """
__global__ void divergent(int n) {
    if (threadIdx.x < 3)
        __syncthreads();
    else
        __syncthreads();
}
__global__ void early_return(int n) {
    if (blockIdx.x == 1 && static_cast<int>(threadIdx.x) >= n) return;
    __syncthreads();
}
__global__ void early_return_of_a_lane(int n) {
    if (static_cast<int>(threadIdx.x) >= n) return;
    __shfl_down_sync(0xffffffffu, threadIdx.x, 1);
}
__global__ void other_masks(int n) {
    __shfl_sync(threadIdx.x == 0 ? 0x1u : 0x3u, 1, 0);
}
__global__ void barrier_and_shuffle(int n) {
    if (threadIdx.x == 0) __syncthreads(); else __syncwarp();
}
__global__ void outside(int n) {
    if (threadIdx.x == 5)
        __ballot_sync(0xfu, 1);
}
__global__ void odd_width(int n) { __shfl_sync(0xffffffffu, 1, 0, 5); }
__global__ void trap(int n) { if (threadIdx.x == 2) __trap(); }
__global__ void fine(int n) { __syncthreads(); __syncwarp(); }
"""

REPORTS = {
    "divergent": """block (0, 0, 0): its threads wait for each other in different places
  3 threads at wrong.cu:4: __syncthreads, first (0, 0, 0)
  5 threads at wrong.cu:6: __syncthreads, first (3, 0, 0)""",
    "early_return": """block (1, 0, 0): its threads wait for each other in different places
  5 threads at wrong.cu:10: __syncthreads, first (0, 0, 0)
  3 threads exited, first (5, 0, 0)""",
    "early_return_of_a_lane": """block (0, 0, 0): its threads wait for each other in different places
  5 threads at wrong.cu:14: __shfl_down_sync with mask 0xffffffff, first (0, 0, 0)
  3 threads exited, first (5, 0, 0)""",
    "other_masks": """block (0, 0, 0): its threads wait for each other in different places
  1 thread exited, first (0, 0, 0)
  1 thread at wrong.cu:17: __shfl_sync with mask 0x00000003, first (1, 0, 0)""",
    "barrier_and_shuffle": """block (0, 0, 0): its threads wait for each other in different places
  1 thread at wrong.cu:20: __syncthreads, first (0, 0, 0)
  7 threads at wrong.cu:20: __syncwarp with mask 0xffffffff, first (1, 0, 0)""",
    "outside": "block (0, 0, 0): thread (5, 0, 0): wrong.cu:24: __ballot_sync with mask 0x0000000f: "
    "the mask does not name the calling lane",
    "odd_width": "block (0, 0, 0): thread (0, 0, 0): wrong.cu:26: __shfl_sync with mask 0xffffffff: "
    "width is not a power of two up to 32",
    "trap": "block (0, 0, 0): thread (2, 0, 0): wrong.cu:27: __trap: called",
}


@pytest.fixture
def wrong() -> Module:
    return build(WRONG, [*REPORTS, "fine"], name="wrong.cu")


@pytest.mark.parametrize("kernel", REPORTS)
def test_threads_that_cannot_meet_are_reported(wrong: Module, kernel: str) -> None:
    threads = 2 if kernel == "other_masks" else 8
    with pytest.raises(EmulatorError) as error:
        wrong.launch(kernel, 3, threads, 0, [i32(5)])
    assert str(error.value) == f"{kernel}: {REPORTS[kernel]}"
    wrong.launch("fine", 3, 256, 0, [i32(5)])  # nothing is left of it


@pytest.mark.parametrize("order", ORDERS)
def test_every_order_finds_threads_that_cannot_meet(wrong: Module, order: Order) -> None:
    with pytest.raises(EmulatorError, match=r"3 threads at wrong.cu:4.*\n.*5 threads at wrong.cu:6"):
        wrong.launch("divergent", 1, 8, 0, [i32(0)], order=order)


def test_indices_are_those_of_a_grid_and_a_block_in_three_dimensions() -> None:
    text = """
    __global__ void where(uint4* out) {
        const unsigned b = (blockIdx.z * gridDim.y + blockIdx.y) * gridDim.x + blockIdx.x;
        const unsigned t = (threadIdx.z * blockDim.y + threadIdx.y) * blockDim.x + threadIdx.x;
        __syncthreads();
        out[b * blockDim.x * blockDim.y * blockDim.z + t] = make_uint4(b, threadIdx.x, threadIdx.y, threadIdx.z);
    }"""
    out = np.zeros((4, 3, 2, 2, 4, 5, 4), np.uint32)
    build(text, ["where"], name="where.cu").launch("where", (2, 3, 4), (5, 4, 2), 0, [at(out)], order="shuffled")
    b, z, y, x = np.meshgrid(np.arange(24), np.arange(2), np.arange(4), np.arange(5), indexing="ij")
    np.testing.assert_array_equal(out.reshape(24, 2, 4, 5, 4), np.stack([b, x, y, z], -1))


def test_intrinsics_give_what_cuda_gives() -> None:
    checks = [
        "__popc(0xf0u) == 4 && __popcll(~0ull) == 64 && __ffs(8) == 4 && __ffs(0) == 0",
        "__clz(1) == 31 && __clz(0) == 32 && __brev(1u) == 0x80000000u",
        "__umulhi(0xffffffffu, 0xffffffffu) == 0xfffffffeu && __umul64hi(~0ull, ~0ull) == ~0ull - 1",
        "__float_as_int(1.0f) == 0x3f800000 && __int_as_float(0x3f800000) == 1.0f",
        "__float_as_uint(-0.0f) == 0x80000000u && __uint_as_float(0x80000000u) == 0.0f",
        "__longlong_as_double(__double_as_longlong(0.1)) == 0.1",
        'min(1.0f, nanf("")) == 1.0f && max(nanf(""), 1.0f) == 1.0f && min(-1, 2u) == 2u && max(-1, 1) == 1',
        "sizeof(min((short)1, (short)2)) == 4 && sizeof(floor(1.5f)) == 4 && abs(-1.5f) == 1.5f",
        "__float2int_rn(2.5f) == 2 && __float2int_rz(-2.9f) == -2 && __float2int_rd(-2.1f) == -3",
        "__float2int_rn(3e9f) == 2147483647 && __float2int_rn(-3e9f) == -2147483647 - 1",
        '__float2int_rn(nanf("")) == 0 && __float2uint_rn(-1.0f) == 0 && __float2uint_rn(5e9f) == 0xffffffffu',
        "__double2ll_rn(1e30) == 0x7fffffffffffffffll && __double2int_rn(-2147483648.0) == -2147483647 - 1",
        'rintf(2.5f) == 2.0f && fmaf(2, 3, 1) == 7 && __saturatef(nanf("")) == 0.0f && __ldg(&f) == 0.5f',
        "atomicAdd(&i, 0x7fffffff) == 1 && i < 0 && atomicExch(&i, 5) < 0 && atomicSub(&i, 2) == 5 && i == 3",
        "atomicMin(&i, -4) == 3 && atomicMax(&i, 9) == -4 && atomicOr(&i, 6) == 9 && atomicAnd(&i, 7) == 15",
        "atomicCAS(&i, 7, 8) == 7 && atomicCAS(&i, 7, 9) == 8 && i == 8 && atomicXor(&i, 1) == 8 && i == 9",
        "atomicAdd(&f, 1) == 0.5f && f == 1.5f && atomicAdd(&u, 1) == ~0ull && u == 0",
    ]
    body = "\n".join(f"if (!({check})) out[{number}] = 1;" for number, check in enumerate(checks))
    text = f"__global__ void checks(int* out) {{ int i = 1; float f = 0.5f; unsigned long long u = ~0ull;\n{body} }}"
    out = np.zeros(len(checks), np.int32)
    build(text, ["checks"], name="checks.cu").launch("checks", 1, 1, 0, [at(out)])
    assert [check for check, failed in zip(checks, out, strict=True) if failed] == []


def test_parameters_are_passed_by_value_whatever_they_are() -> None:
    text = """
    struct Map { double m[12]; float fill; };
    struct __align__(16) Wide { float v[4]; };
    __global__ void pass(char c, const __grid_constant__ Map map, Wide wide, long long n, double* out) {
        out[0] = c; out[1] = map.m[11]; out[2] = map.fill; out[3] = wide.v[3]; out[4] = n;
    }"""
    out = np.zeros(5)
    map_ = np.arange(12.0).tobytes() + np.array([0.5, 0], np.float32).tobytes()
    wide = np.arange(4, dtype=np.float32).tobytes()
    params = [b"\x07", map_, wide, (2**40).to_bytes(8, "little"), at(out)]
    build(text, ["pass"], name="pass.cu").launch("pass", 1, 1, 0, params)
    assert out.tolist() == [7, 11, 0.5, 3, 2**40]


def test_parameters_of_another_size_are_refused(lanes: Module) -> None:
    with pytest.raises(EmulatorError, match=re.escape("ballot: takes parameters of (8,) bytes, got (8, 4)")):
        lanes.launch("ballot", 1, 32, 0, [bytes(8), bytes(4)])
    with pytest.raises(EmulatorError, match="'nothing' was not built, only 'ballot', "):
        lanes.launch("nothing", 1, 32, 0, [])


@pytest.mark.parametrize(
    ("blocks", "threads", "shared"),
    [(0, 32, 0), (1, 0, 0), (1, 1025, 0), (1, (32, 32, 2), 0), (1, (1, 1, 65), 0), ((1, 65536), 1, 0), (1, 1, 2**18)],
)
def test_what_no_device_launches_is_refused(lanes: Module, blocks: Any, threads: Any, shared: int) -> None:
    with pytest.raises(EmulatorError, match="ballot: no device launches blocks="):
        lanes.launch("ballot", blocks, threads, shared, [bytes(8)])


def test_threads_of_python_launch_at_once_and_one_after_another() -> None:
    module = build(REDUCE, ["total<int>"], name="reduce.cu")
    other = build(f"// a library of its own\n{REDUCE}", ["total<int>"], name="reduce.cu")

    def total(seed: int) -> None:
        x = np.random.default_rng(seed).integers(-100, 100, 5000, dtype=np.int32)
        out = np.zeros(1, np.int32)
        chosen = (module, other)[seed % 2]
        chosen.launch("total<int>", 20, 256, 0, [at(x), at(out), i32(5000)], order="shuffled", seed=seed)
        assert out[0] == x.sum()

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(total, range(40)))


def test_libraries_of_the_same_template_share_nothing() -> None:
    text = """
    template <int N> __device__ int* counter() { static int n = N; return &n; }
    template <class T> __global__ void count(int* out) { out[0] = ++*counter<5>(); }"""
    for name in ("one.cu", "two.cu"):
        out = np.zeros(1, np.int32)
        build(text, ["count<int>"], name=name).launch("count<int>", 1, 1, 0, [at(out)])
        assert out[0] == 6


@pytest.mark.parametrize(
    ("text", "expressions", "said"),
    [
        ("\n__global__ void f(int n) { m = n; }", ["f"], r"^broken.cu:2:\d+: error: 'm' was not declared"),
        ('#line 7 "common.cuh"\nint x = "";\n', [], r"^common.cuh:7:\d+: error: invalid conversion"),
        ("__global__ void f() { int unused; }", ["f"], r"^broken.cu:1:\d+: error: unused variable"),
        ("template <class T> __global__ void f() {}", ["f<int>", "f<x>"], r"^kernels of broken.cu:2:\d+: error: 'x'"),
        ("__device__ int g();\n__global__ void f(int* n) { *n = g(); }", ["f"], r"undefined reference to `g\(\)'"),
        ("__global__ void f(int* n) { volatile int big[5000]; big[*n] = 1; *n = big[0]; }", ["f"], "frame size"),
    ],
)
def test_what_does_not_compile_is_told_with_file_and_line(text: str, expressions: Sequence[str], said: str) -> None:
    with pytest.raises(EmulatorError, match=said):
        build(text, expressions, name="broken.cu")


def test_names_of_kernels_are_free() -> None:
    names = ["shuffle", "run", "kernel", "kernels", "forward", "place", "lane"]
    text = "\n".join(f"__global__ void {name}(int* out) {{ out[0] = {number}; }}" for number, name in enumerate(names))
    module = build(text, names, name="names.cu")
    out = np.full(1, -1, np.int32)
    for number, name in enumerate(names):
        module.launch(name, 1, 1, 0, [at(out)])
        assert out[0] == number
