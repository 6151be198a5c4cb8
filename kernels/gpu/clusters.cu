// What is known of the regions above a threshold, from their runs and the voxels of those
//
// Bytes: some forty for each run, and the voxels inside a second time. The rest is in label.cu: where few voxels are above
// the threshold, as metal is, its one read of the volume is nearly all there is to do.
#include "table.cuh"

// Lanes of a warp that read a run together.
constexpr int CLUSTERS_LANES = 8;
constexpr int CLUSTERS_RUNS = 32 / CLUSTERS_LANES;
// Voxels of a lane that are on their way at once.
constexpr int CLUSTERS_AHEAD = 4;

struct ClustersJob {
    RunsJob runs;
    uint64* table;
    Values values;
    int32 turns;  // of a warp, each for as many runs as it reads at once
    int32 padding;
};

// Values are computed in N: int64, or float64.
template <class N>
__global__ void __launch_bounds__(RUNS_THREADS)
clusters(const __grid_constant__ ClustersJob job) {
    const RunsJob& runs = job.runs;
    const int64 count = count_runs(runs), first = tile_number() * job.turns * CLUSTERS_RUNS;
    const int32 lane = threadIdx.x % CLUSTERS_LANES;
    Gather gather(job.table);
#pragma unroll 1
    for (int32 turn = 0; turn < job.turns && first + turn * CLUSTERS_RUNS < count; turn++) {
        const int64 i = first + turn * CLUSTERS_RUNS + threadIdx.x % 32 / CLUSTERS_LANES;
        int64 region = -1;
        Row row;
        row.clear();
        if (i < count) {
            region = runs.ranks[runs.parents[i]];
            const int64 begin = runs.begins[i];
            const Place at(runs, begin);
            const int32 end = at.x + int32(runs.ends[i] - begin);
            if (lane == 0) row.add_voxels(at.z, at.y, at.x, end);
            const int64* const strides = job.values.strides;
            const int64 line = at.z * strides[0] + at.y * strides[1];
            for (int32 x = at.x + lane; x < end; x += CLUSTERS_LANES * CLUSTERS_AHEAD) {
                N values[CLUSTERS_AHEAD];
                load<CLUSTERS_AHEAD, CLUSTERS_LANES>(
                    job.values.kind, job.values.x, line + x * strides[2], strides[2], end - x, values);
#pragma unroll
                for (int k = 0; k < CLUSTERS_AHEAD; k++)
                    if (x + CLUSTERS_LANES * k < end) add_value(row, job.values, values[k]);
            }
        }
        gather.add(region, row);
    }
    gather.finish();
}
