// Masks with their holes filled: what is added to label.cu, which finds the runs of what is not set, are nine bytes a run
#include "runs.cuh"

struct FillJob {
    RunsJob runs;
    int64* sizes;  // of roots, in voxels, and OPEN where the component touches the border
    uint8* values;
    int64 largest;  // or -1
};

constexpr uint64 OPEN = uint64(1) << 62;

// An axis of one voxel has no border.
__device__ __forceinline__ bool touches(const RunsJob& runs, const Place& at, int32 size) {
    if (runs.nx > 1 && (at.x == 0 || at.x + size == runs.nx)) return true;
    if (runs.ny > 1 && (at.y == 0 || at.y == runs.ny - 1)) return true;
    return !runs.planar && runs.nz > 1 && (at.z == 0 || at.z == runs.nz - 1);
}

__global__ void __launch_bounds__(RUNS_THREADS)
fill_sizes(const __grid_constant__ FillJob job) {
    const int64 i = thread_number();
    const bool there = i < count_runs(job.runs);
    const int32 root = there ? job.runs.parents[i] : -1;
    int64 size = 0;
    if (there) {
        const int64 begin = job.runs.begins[i];
        size = job.runs.ends[i] - begin;
        uint64* const mine = reinterpret_cast<uint64*>(job.sizes + root);
        const volatile uint64* const seen = mine;
        if (touches(job.runs, Place(job.runs, begin), int32(size)) && (*seen & OPEN) == 0) atomicOr(mine, OPEN);
    }
    add_to_root(job.sizes, root, size);
}

// Which runs are in a hole.
__global__ void __launch_bounds__(RUNS_THREADS)
fill_values(const __grid_constant__ FillJob job) {
    const int64 i = thread_number();
    if (i >= count_runs(job.runs)) return;
    const int64 size = job.sizes[job.runs.parents[i]];
    const bool borders = job.runs.nx > 1 || job.runs.ny > 1 || (!job.runs.planar && job.runs.nz > 1);
    job.values[i] = borders && uint64(size) < OPEN && (job.largest < 0 || size <= job.largest);
}
