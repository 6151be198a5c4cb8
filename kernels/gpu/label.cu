// Components of masks: bits of a type's numbers, runs from the bits, trees of runs, and voxels from those
//
// Bytes: what is read once in its own dtype, a quarter byte a voxel written and read where a tile of 1024 voxels has runs,
// four bytes for each tile, some forty for each run, and the result once. Trees are cut down by atomicMin.
#include "limit.cuh"
#include "packs.cuh"
#include "runs.cuh"

// ---- bits -----------------------------------------------------------------------------------------------------------

struct BitsJob {
    RunsJob runs;
    const void* x;
    int64 strides[4];
    uint64 least;  // the bits of the least number that is set
    int32 none;  // no number is set
    int32 complement;
    int32 flat;  // rows are whole words one after the other, and begin where 16 bytes can be moved
    int32 padding;
};

// A tile's words of rows that follow each other: lane l gets the l-th.
template <class T>
__device__ __forceinline__ uint32 flat_word(const T* x, int64 size, int64 first, const AtLeast<T>& is_set) {
    constexpr int PACK = 16 / sizeof(T), PARTS = 32 / PACK;
    const int32 lane = threadIdx.x % 32;
    Pack<T, PACK> some[PARTS];
    uint32 words[PARTS];
#pragma unroll
    for (int k = 0; k < PARTS; k++) {
        const int64 at = first + (32 * k + lane) * PACK;
        if (at < size) some[k].load(x + at); else memset(some[k].v, 0, sizeof(some[k].v));
    }
#pragma unroll
    for (int k = 0; k < PARTS; k++) {
        uint32 part = 0;
#pragma unroll
        for (int i = 0; i < PACK; i++) part |= uint32(is_set(some[k].v[i])) << i;
        words[k] = part << (lane % PARTS * PACK);
    }
    // PARTS lanes have parts of PARTS words: each gives away one half of the words it has, until one is left.
#pragma unroll
    for (int half = PARTS / 2; half > 0; half /= 2) {
        const bool upper = lane & half;
#pragma unroll
        for (int i = 0; i < PARTS / 2; i++) {
            if (i >= half) continue;
            const uint32 given = upper ? words[i] : words[i + half], kept = upper ? words[i + half] : words[i];
            words[i] = kept | __shfl_xor_sync(EVERY_LANE, given, half);
        }
    }
    return __shfl_sync(EVERY_LANE, words[0], lane % PACK * PARTS + lane / PACK);
}

template <class T>
__global__ void __launch_bounds__(RUNS_THREADS)
bits(const __grid_constant__ BitsJob job) {
    const RunsJob& runs = job.runs;
    const int32 lane = threadIdx.x % 32;
    const int64 tile = tile_number(), volume = tile / runs.tiles, word = (tile - volume * runs.tiles) * 32 + lane;
    if (volume >= runs.volumes) return;
    const T* const x = static_cast<const T*>(job.x) + volume * job.strides[0];
    const AtLeast<T> is_set(job.least);
    uint32 set = 0;
    const Line line(runs, job.strides, word);
    if (job.flat && !job.none) {
        set = flat_word(x, int64(runs.nz) * runs.ny * runs.nx, (word - lane) * 32, is_set);
    } else if (!job.none) {
#pragma unroll 8
        for (int32 k = 0; k < 32; k++) {
            const Line there(line, k);
            const bool here = lane < there.count && is_set(x[there.at + lane * job.strides[3]]);
            const uint32 all = __ballot_sync(EVERY_LANE, here);
            if (lane == k) set = all;
        }
    }
    if (job.complement) set = ~set;
    set = line.count > 0 ? set & up_to(line.count - 1) : 0;
    if (__ballot_sync(EVERY_LANE, set != 0) == 0) {
        if (lane == 0) runs.first[tile] = 0;
        return;
    }
    const uint32 left = __shfl_up_sync(EVERY_LANE, set, 1);
    Bits mine = {set, lane > 0 && word % runs.row_words != 0 ? left >> 31 : 0};
    const int32 count = __popc(starts_of(mine));
    int32 before = count;
    for (int32 step = 1; step < 32; step *= 2) {
        const int32 other = __shfl_up_sync(EVERY_LANE, before, step);
        if (lane >= step) before += other;
    }
    if (lane == 31) runs.first[tile] = before;
    mine.before |= uint32(before - count) * 2;
    runs.words[tile * 32 + lane] = mine;
}

// ---- sums of what comes before --------------------------------------------------------------------------------------

constexpr int SCAN_EACH = 32;
constexpr int SCAN_BLOCK = SCAN_EACH * RUNS_THREADS;

struct ScanJob {
    int32* values;
    int64* sums;  // of blocks
    int64* total;
    const int64* found;  // how many values there are, or null where that is `count`
    int64 count;
};

__device__ __forceinline__ int64 count_values(const ScanJob& job) {
    if (job.found == nullptr) return job.count;
    return *job.found <= job.count ? *job.found : 0;
}

// What the threads before this one have, and what all have.
__device__ __forceinline__ int64 sum_before(int64 mine, int64& all) {
    __shared__ int64 warps[RUNS_WARPS];
    const int32 lane = threadIdx.x % 32;
    int64 upto = mine;
    for (int32 step = 1; step < 32; step *= 2) {
        const int64 other = __shfl_up_sync(EVERY_LANE, upto, step);
        if (lane >= step) upto += other;
    }
    if (lane == 31) warps[threadIdx.x / 32] = upto;
    __syncthreads();
    int64 before = upto - mine;
    all = 0;
    for (int32 w = 0; w < RUNS_WARPS; w++) {
        if (w < int32(threadIdx.x) / 32) before += warps[w];
        all += warps[w];
    }
    __syncthreads();
    return before;
}

__global__ void __launch_bounds__(RUNS_THREADS)
scan_sums(const __grid_constant__ ScanJob job) {
    const int64 count = count_values(job), first = int64(blockIdx.x) * SCAN_BLOCK + threadIdx.x;
    int64 mine = 0, all;
#pragma unroll 8
    for (int32 k = 0; k < SCAN_EACH; k++) {
        const int64 i = first + k * RUNS_THREADS;
        if (i < count) mine += job.values[i];
    }
    sum_before(mine, all);
    if (threadIdx.x == 0) job.sums[blockIdx.x] = all;
}

// Each value becomes the sum of those before it, and behind the last is that of all.
__global__ void __launch_bounds__(RUNS_THREADS)
scan(const __grid_constant__ ScanJob job) {
    const int64 count = count_values(job), first = int64(blockIdx.x) * SCAN_BLOCK + threadIdx.x * SCAN_EACH;
    int64 mine = 0, base, all;
    for (int64 k = threadIdx.x; k < blockIdx.x; k += RUNS_THREADS) mine += job.sums[k];
    sum_before(mine, base);
    int32 values[SCAN_EACH];
    mine = 0;
#pragma unroll
    for (int32 k = 0; k < SCAN_EACH; k++) {
        values[k] = first + k < count ? job.values[first + k] : 0;
        mine += values[k];
    }
    int64 before = base + sum_before(mine, all);
#pragma unroll
    for (int32 k = 0; k < SCAN_EACH; k++) {
        if (first + k < count) job.values[first + k] = int32(before);
        before += values[k];
    }
    const bool last = int64(blockIdx.x) * SCAN_BLOCK + SCAN_BLOCK >= count && int64(blockIdx.x) * SCAN_BLOCK <= count;
    if (threadIdx.x == 0 && last) {
        job.values[count] = int32(base + all);
        *job.total = base + all;
    }
}

// ---- runs and their trees -------------------------------------------------------------------------------------------

__global__ void __launch_bounds__(RUNS_THREADS)
runs_of(const __grid_constant__ RunsJob job) {
    const int64 tile = tile_number();
    if (tile >= job.volumes * job.tiles || count_runs(job) == 0) return;
    const int32 lane = threadIdx.x % 32, first = job.first[tile];
    if (job.first[tile + 1] == first) return;
    const Bits word = job.words[tile * 32 + lane];
    const uint32 goes_on = __shfl_down_sync(EVERY_LANE, word.before & word.set & 1, 1);
    const int64 begin = (tile * 32 + lane) * 32;
    const uint32 starts = starts_of(word);
    int32 i = first + int32(word.before / 2);
    for (uint32 left = starts; left != 0; left &= left - 1, i++) {
        job.begins[i] = begin + __ffs(int32(left)) - 1;
        job.parents[i] = i;
    }
    uint32 left = word.set & ~(word.set >> 1 | (lane < 31 ? goes_on << 31 : 0));
    for (; left != 0; left &= left - 1) {
        const int32 bit = __ffs(int32(left)) - 1;
        job.ends[first + int32(word.before / 2) + __popc(starts & up_to(bit)) - 1] = begin + bit + 1;
    }
}

__device__ __forceinline__ void join_row(const RunsJob& job, int32 i, const Place& at, int32 size, int32 dz, int32 dy) {
    const int32 steps = (dz != 0) + (dy != 0), near = job.connectivity > steps;
    const int32 z = at.z + dz, y = at.y + dy;
    if (steps > job.connectivity || z < 0 || y < 0 || y >= job.ny) return;
    const int32 low = at.x - near < 0 ? 0 : at.x - near, end = at.x + size + near, high = (end < job.nx ? end : job.nx) - 1;
    const int64 row = at.volume * job.tiles * 32 + (int64(z) * job.ny + y) * job.row_words;
    bool set, last_set;
    int32 j = runs_up_to(job, row + low / 32, low % 32, set);
    if (set) j--;
    const int32 stop = runs_up_to(job, row + high / 32, high % 32, last_set);
    for (; j < stop; j++) unite(job.parents, i, j);
}

// Every run with those before it that it touches.
__global__ void __launch_bounds__(RUNS_THREADS)
runs_join(const __grid_constant__ RunsJob job) {
    const int64 i = thread_number();
    if (i >= count_runs(job)) return;
    const int64 begin = job.begins[i];
    const Place at(job, begin);
    const int32 size = int32(job.ends[i] - begin);
    if (begin % 1024 == 0 && at.x > 0 && i > 0 && job.ends[i - 1] == begin) unite(job.parents, int32(i), int32(i - 1));
    join_row(job, int32(i), at, size, 0, -1);
    if (job.planar) return;
    for (int32 dy = -1; dy <= 1; dy++) join_row(job, int32(i), at, size, -1, dy);
}

__global__ void __launch_bounds__(RUNS_THREADS)
runs_roots(const __grid_constant__ RunsJob job) {
    const int64 i = thread_number();
    for (int64 k = i; k < job.clears; k += int64(gridDim.x) * RUNS_THREADS) job.cleared[k] = 0;
    if (i >= count_runs(job)) return;
    const int32 root = find_root(job.parents, int32(i));
    job.parents[i] = root;
    job.ranks[i] = root == i;
}

// ---- voxels from runs -----------------------------------------------------------------------------------------------

struct NumberJob {
    RunsJob runs;
    void* values;
    int64* counts;
};

// Of each run the number of its component in its volume, from 1 on, and of each volume how many it has.
template <class T>
__global__ void __launch_bounds__(RUNS_THREADS)
runs_number(const __grid_constant__ NumberJob job) {
    const RunsJob& runs = job.runs;
    const int64 i = thread_number();
    if (i < runs.volumes) {
        const int32 first = runs.first[i * runs.tiles], stop = runs.first[(i + 1) * runs.tiles];
        job.counts[i] = runs.ranks[stop] - runs.ranks[first];
    }
    if (i >= count_runs(runs)) return;
    const int32 before = runs.ranks[runs.first[runs.begins[i] / 1024 / runs.tiles * runs.tiles]];
    static_cast<T*>(job.values)[i] = T(runs.ranks[runs.parents[i]] - before + 1);
}

struct WriteJob {
    RunsJob runs;
    const void* values;  // of each run
    void* out;
    int64 strides[4];
    int64 rest;  // the value of what is in none
};

template <class T>
__global__ void __launch_bounds__(RUNS_THREADS)
runs_write(const __grid_constant__ WriteJob job) {
    const RunsJob& runs = job.runs;
    const int32 lane = threadIdx.x % 32;
    const int64 tile = tile_number(), volume = tile / runs.tiles, word = (tile - volume * runs.tiles) * 32 + lane;
    if (volume >= runs.volumes) return;
    T* const out = static_cast<T*>(job.out) + volume * job.strides[0];
    const T* const values = static_cast<const T*>(job.values);
    const T rest = T(job.rest);
    const Line line(runs, job.strides, word);
    const int32 first = runs.first[tile];
    Bits mine = {0, 0};
    if (runs.first[tile + 1] != first) mine = runs.words[tile * 32 + lane];
#pragma unroll 4
    for (int32 k = 0; k < 32; k++) {
        const Line there(line, k);
        const Bits bits = {__shfl_sync(EVERY_LANE, mine.set, k), __shfl_sync(EVERY_LANE, mine.before, k)};
        T value = rest;
        if (bits.set >> lane & 1) value = values[first + int32(bits.before / 2) + __popc(starts_of(bits) & up_to(lane)) - 1];
        if (lane < there.count) out[there.at + lane * job.strides[3]] = value;
    }
}
