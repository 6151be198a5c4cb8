// The largest components of masks: what is added to label.cu are forty bytes a run, and two launches for each of them
#include "runs.cuh"

struct KeepJob {
    RunsJob runs;
    int64* sizes;  // of roots, in voxels
    uint64* last;  // of each volume the size of the last one kept, and how far from the largest number its root is
    const uint64* before;  // of the one kept before that, or null
    uint8* values;
    int64 smallest;
    int32 all;
    int32 padding;
};

constexpr uint64 MOST_RUNS = 0x7fffffff;

__device__ __forceinline__ int64 volume_of(const RunsJob& runs, int64 i) { return runs.begins[i] / 1024 / runs.tiles; }

// In order of size, then of what comes first.
__device__ __forceinline__ bool is_above(uint64 size, uint64 place, const uint64* other) {
    return size > other[0] || (size == other[0] && place > other[1]);
}

// How many voxels each component has.
__global__ void __launch_bounds__(RUNS_THREADS)
keep_sizes(const __grid_constant__ KeepJob job) {
    const int64 i = thread_number();
    const bool there = i < count_runs(job.runs);
    const int32 root = there ? job.runs.parents[i] : -1;
    add_to_root(job.sizes, root, there ? job.runs.ends[i] - job.runs.begins[i] : 0);
}

// The largest size of those below the one before, with FIRST the first root of that size.
template <bool FIRST>
__global__ void __launch_bounds__(RUNS_THREADS)
keep_next(const __grid_constant__ KeepJob job) {
    const int64 i = thread_number();
    if (i >= count_runs(job.runs) || job.runs.parents[i] != i) return;
    const int64 volume = volume_of(job.runs, i);
    const uint64 size = uint64(job.sizes[i]), place = MOST_RUNS - uint64(i);
    const uint64* const before = job.before == nullptr ? nullptr : job.before + 2 * volume;
    if (before != nullptr && (is_above(size, place, before) || (size == before[0] && place == before[1]))) return;
    uint64* const last = job.last + 2 * volume;
    const volatile uint64* const seen = last;
    if (FIRST) {
        if (size == seen[0] && place > seen[1]) atomicMax(last + 1, place);
    } else if (size > seen[0]) {
        atomicMax(last, size);
    }
}

// Which runs are kept.
__global__ void __launch_bounds__(RUNS_THREADS)
keep_values(const __grid_constant__ KeepJob job) {
    const int64 i = thread_number();
    if (i >= count_runs(job.runs)) return;
    const int32 root = job.runs.parents[i];
    const uint64 size = uint64(job.sizes[root]), place = MOST_RUNS - uint64(root);
    const uint64* const last = job.last + 2 * volume_of(job.runs, i);
    const bool largest = job.all || is_above(size, place, last) || (size == last[0] && place == last[1]);
    job.values[i] = largest && int64(size) >= job.smallest;
}
