// A volume where it counts and zero elsewhere, and how much each voxel counts: one read, two writes.
#include "bias.cuh"

struct MaskedJob {
    Any x, mask, trust;
    float64 label;
    int32 labelled, logarithm;
    int32 shape[4];
    float32 *values, *shares;
    uint64* found;  // (volumes, 2): voxels that count, voxels of the mask that are not finite
};

// A block has 1024 voxels.
__global__ void __launch_bounds__(BIAS_THREADS)
masked(const __grid_constant__ MaskedJob job) {
    const int64 plane = int64(job.shape[2]) * job.shape[3], voxels = plane * job.shape[1];
    const int32 blocks = int32((voxels + 1023) / 1024), b = blockIdx.x / blocks;
    float64 inside = 0, broken = 0;
    for (int32 k = 0; k < 1024; k += BIAS_THREADS) {
        const int64 i = int64(blockIdx.x % blocks) * 1024 + k + threadIdx.x;
        if (i >= voxels) break;
        const int32 z = int32(i / plane), y = int32(i % plane / job.shape[3]), x = int32(i % job.shape[3]);
        bool counts = true;
        float64 share = 1, value = 0;
        if (job.mask.data) {
            const float64 mark = job.mask.at(b, z, y, x);
            counts = job.labelled ? mark == job.label : mark != 0;
        }
        if (job.trust.data) {
            share = job.trust.at(b, z, y, x);
            counts = counts && share > 0;
        }
        if (counts) {
            const float64 given = job.x.at(b, z, y, x);
            const bool finite = given - given == 0;
            if (!finite) broken += 1;
            counts = finite && given > 0;
            if (counts) value = float64(float32(share)) * (job.logarithm ? log(given) : given);
        }
        if (counts) inside += 1;
        job.shares[b * voxels + i] = counts ? float32(share) : 0.0f;
        job.values[b * voxels + i] = float32(value);
    }
    block_sums(inside, broken);
    if (threadIdx.x != 0) return;
    if (inside > 0) atomicAdd(job.found + 2 * b, uint64(inside));
    if (broken > 0) atomicAdd(job.found + 2 * b + 1, uint64(broken));
}
