// Runs: where a mask is set, row by row, found from bits; which of them touch, by union-find; voxels written from them
//
// A row is a whole number of words of 32 bits, and a tile is 32 words of one volume, for a warp. A run ends with its tile,
// so what a word needs to know of those before it is within its tile; a run of the next tile that goes on there is joined
// with it like any other that touches. A place is counted in bits: padding included, of all volumes one after the other.
// Runs are numbered by place, and a tree of runs hangs on its least number: the component's first voxel.
#pragma once
#include "common.cuh"

constexpr int RUNS_THREADS = 256;
constexpr int RUNS_WARPS = RUNS_THREADS / 32;
constexpr uint32 EVERY_LANE = 0xffffffffu;

struct alignas(8) Bits {
    uint32 set;
    uint32 before;  // runs that begin in the tile before this word, twice, and 1 more where the one before goes on here
};

struct RunsJob {
    Bits* words;  // of a tile without runs nothing is there
    int32* first;  // of each tile the number of its first run, and at the end how many there are
    int64* begins;
    int64* ends;
    int32* parents;
    int32* ranks;  // how many roots come before a run
    int64* cleared;  // what `runs_roots` fills with zeros: sums of roots
    const int64* total;  // how many runs there are
    int64 capacity;  // how many there is room for: if not for all, nothing is done with any
    int64 tiles, volumes;  // tiles of a volume
    int64 clears;
    int32 nz, ny, nx, row_words;
    int32 connectivity, planar;
};

__device__ __forceinline__ int64 thread_number() { return int64(blockIdx.x) * RUNS_THREADS + threadIdx.x; }
__device__ __forceinline__ int64 tile_number() { return int64(blockIdx.x) * RUNS_WARPS + threadIdx.x / 32; }

__device__ __forceinline__ int64 count_runs(const RunsJob& job) {
    const int64 count = *job.total;
    return count <= job.capacity ? count : 0;
}

__device__ __forceinline__ uint32 starts_of(Bits word) { return word.set & ~(word.set << 1 | (word.before & 1)); }

// The bits up to one, itself included.
__device__ __forceinline__ uint32 up_to(int32 bit) { return EVERY_LANE >> (31 - bit); }

// Where the voxels of a word are.
struct Line {
    int64 at;  // of the first, in elements from the volume's
    int32 count;  // none beyond the row, or the volume

    __device__ __forceinline__ Line(const RunsJob& job, const int64* strides, int64 word) : at(0), count(0) {
        const int64 row = word / job.row_words;
        if (row >= int64(job.nz) * job.ny) return;
        const int32 x = int32(word - row * job.row_words) * 32;
        at = row / job.ny * strides[1] + row % job.ny * strides[2] + x * strides[3];
        count = job.nx - x < 32 ? job.nx - x : 32;
    }
    __device__ __forceinline__ Line(const Line& line, int32 lane)
        : at(__shfl_sync(EVERY_LANE, line.at, lane)), count(__shfl_sync(EVERY_LANE, line.count, lane)) {}
};

// Where a run is.
struct Place {
    int64 volume;
    int32 z, y, x;

    __device__ __forceinline__ Place(const RunsJob& job, int64 begin) {
        const int64 word = begin / 32;
        volume = word / 32 / job.tiles;
        const int64 within = word - volume * job.tiles * 32, row = within / job.row_words;
        x = int32(within - row * job.row_words) * 32 + int32(begin % 32);
        z = int32(row / job.ny);
        y = int32(row % job.ny);
    }
};

// How many runs begin up to a voxel, itself included; the last of them holds it where it is set.
__device__ __forceinline__ int32 runs_up_to(const RunsJob& job, int64 word, int32 bit, bool& set) {
    const int32 before = job.first[word / 32];
    set = false;
    if (job.first[word / 32 + 1] == before) return before;
    const Bits bits = job.words[word];
    set = bits.set >> bit & 1;
    return before + int32(bits.before / 2) + __popc(starts_of(bits) & up_to(bit));
}

__device__ __forceinline__ int32 find_root(const volatile int32* parents, int32 i) {
    int32 up = parents[i];
    while (up != i) {
        i = up;
        up = parents[i];
    }
    return i;
}

// On the way up every other run is hung on what comes two above it: an ancestor, whatever others do meanwhile.
__device__ __forceinline__ int32 shorten_to_root(volatile int32* parents, int32 i) {
    for (;;) {
        const int32 up = parents[i];
        if (up == i) return i;
        const int32 next = parents[up];
        if (next == up) return up;
        parents[i] = next;
        i = next;
    }
}

__device__ __forceinline__ void unite(int32* parents, int32 a, int32 b) {
    for (;;) {
        a = shorten_to_root(parents, a);
        b = shorten_to_root(parents, b);
        if (a == b) return;
        const int32 low = a < b ? a : b, high = a < b ? b : a;
        const int32 before = atomicMin(parents + high, low);
        if (before == high) return;
        // Another thread was here first: what it wrote is to be joined, too.
        a = low;
        b = before;
    }
}

// Of the lanes that have a root, those that have the first one's add up their counts before they are added to its.
__device__ __forceinline__ void add_to_root(int64* sums, int32 root, int64 count) {
    const uint32 some = __ballot_sync(EVERY_LANE, root >= 0);
    if (some == 0) return;
    const int32 lane = threadIdx.x % 32, leader = __ffs(int32(some)) - 1;
    const bool same = root == __shfl_sync(EVERY_LANE, root, leader);
    int64 together = same ? count : 0;
    for (int32 step = 16; step > 0; step /= 2) together += __shfl_xor_sync(EVERY_LANE, together, step);
    if (root < 0 || (same && lane != leader)) return;
    atomicAdd(reinterpret_cast<uint64*>(sums + root), uint64(same ? together : count));
}
