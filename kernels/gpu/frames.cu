// Mean and variance of every pixel over a stack of frames.
//
// Bytes: each pixel of each frame read twice, the second time for the squares; calibrations are made once.
#include "bias.cuh"

struct FramesJob {
    Any x;
    int32 shape[4];  // frames, z, y, x
    float32* mean;
    float32* variance;
};

__global__ void __launch_bounds__(BIAS_THREADS)
frames(const __grid_constant__ FramesJob job) {
    const int32 count = job.shape[0];
    const int64 row = job.shape[3], plane = row * job.shape[2];
    const int64 i = int64(blockIdx.x) * BIAS_THREADS + threadIdx.x;
    if (i >= plane * job.shape[1]) return;
    const int32 z = int32(i / plane), y = int32(i % plane / row), x = int32(i % row);
    float64 sum = 0, squares = 0;
    for (int32 n = 0; n < count; n++) sum += job.x.at(n, z, y, x);
    const float64 center = sum / count;
    for (int32 n = 0; n < count; n++) {
        const float64 away = job.x.at(n, z, y, x) - center;
        squares += away * away;
    }
    job.mean[i] = float32(center);
    job.variance[i] = float32(squares / count);
}
