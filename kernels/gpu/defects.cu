// Pixels out of bounds, which may be those of their neighbourhood: each array read once.
#include "common.cuh"

constexpr int DEFECTS_THREADS = 256;

struct DefectsJob {
    const float32* x;
    const float32* near;  // null: all ones
    uint8* out;
    int64 size;
    float64 low, high;
};

__global__ void __launch_bounds__(DEFECTS_THREADS)
defects(const __grid_constant__ DefectsJob job) {
    const int64 i = int64(blockIdx.x) * DEFECTS_THREADS + threadIdx.x;
    if (i >= job.size) return;
    const float64 value = job.x[i], scale = job.near ? float64(job.near[i]) : 1.0;
    // Comparisons are false for NaN.
    if (!(value >= job.low * scale && value <= job.high * scale)) job.out[i] = 1;
}
