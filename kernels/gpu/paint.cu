// Volumes of regions that clusters.cu found: a value for each run, which label.cu writes
#include "runs.cuh"

struct PaintJob {
    RunsJob runs;
    const void* table;  // of regions
    void* values;  // of runs
};

template <class T>
__global__ void __launch_bounds__(RUNS_THREADS)
paint(const __grid_constant__ PaintJob job) {
    const int64 i = thread_number();
    if (i >= count_runs(job.runs)) return;
    static_cast<T*>(job.values)[i] = static_cast<const T*>(job.table)[job.runs.ranks[job.runs.parents[i]]];
}
