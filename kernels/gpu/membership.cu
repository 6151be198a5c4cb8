// How much each voxel is of a class of values: one read, one write of four bytes.
#include "bias.cuh"

struct MembershipJob {
    Any x, mask;
    float64 least;  // of a squared distance
    float64 centers[16];
    int32 classes, which, shape[4];
    float32* out;
};

// A block has 1024 voxels.
__global__ void __launch_bounds__(BIAS_THREADS)
membership(const __grid_constant__ MembershipJob job) {
    const int64 row = job.shape[3], plane = row * job.shape[2], volume = plane * job.shape[1];
    for (int32 k = 0; k < 1024; k += BIAS_THREADS) {
        const int64 i = int64(blockIdx.x) * 1024 + k + threadIdx.x;
        if (i >= volume * job.shape[0]) return;
        const int32 b = int32(i / volume), z = int32(i % volume / plane), y = int32(i % plane / row), x = int32(i % row);
        float64 mine = 0, total = 1;
        if (job.mask.at(b, z, y, x) != 0) {
            const float64 value = job.x.at(b, z, y, x);
            total = 0;
            for (int32 j = 0; j < job.classes; j++) {
                const float64 away = (value - job.centers[j]) * (value - job.centers[j]);
                const float64 near = 1 / (away > job.least ? away : job.least);
                total += near;
                if (j == job.which) mine = near;
            }
        }
        job.out[i] = float32(mine / total);
    }
}
