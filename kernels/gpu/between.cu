// Where values lie between two numbers: one read, one write of a byte.
#include "bias.cuh"

struct BetweenJob {
    Any x, mask;
    float64 low, high;
    int32 shape[4];
    uint8* out;
};

// A block has 1024 voxels.
__global__ void __launch_bounds__(BIAS_THREADS)
between(const __grid_constant__ BetweenJob job) {
    const int64 row = job.shape[3], plane = row * job.shape[2], volume = plane * job.shape[1];
    for (int32 k = 0; k < 1024; k += BIAS_THREADS) {
        const int64 i = int64(blockIdx.x) * 1024 + k + threadIdx.x;
        if (i >= volume * job.shape[0]) return;
        const int32 b = int32(i / volume), z = int32(i % volume / plane), y = int32(i % plane / row), x = int32(i % row);
        const float64 value = job.x.at(b, z, y, x);
        const bool inside = !job.mask.data || job.mask.at(b, z, y, x) != 0;
        job.out[i] = inside && value > job.low && value < job.high;
    }
}
