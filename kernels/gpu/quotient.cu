// A smooth log field from sums of values and of shares around the nodes of a lattice. The lattice is small: a block per
// volume does it all.
#include "bias.cuh"

struct QuotientJob {
    float32* values;  // (volumes, kz + 2, ky + 2, kx + 2); becomes the field at the nodes
    const float32* shares;
    const float32* balance;  // how much each control value counts for the mean
    float64* lattice;
    int32 shape[4];  // of the lattice
    int32 logarithm, padding;
};

constexpr float32 LEAST = 1e-30f;

__global__ void __launch_bounds__(BIAS_THREADS, 2)
quotient(const __grid_constant__ QuotientJob job) {
    __shared__ float64 mean;
    const int32 kz = job.shape[1], ky = job.shape[2], kx = job.shape[3], points = kz * ky * kx, b = blockIdx.x;
    const int32 row = kx + 2, plane = (ky + 2) * row, nodes = (kz + 2) * plane;
    float32* const values = job.values + int64(b) * nodes;
    const float32* const shares = job.shares + int64(b) * nodes;
    float64 sum = 0, all = 0;
    for (int32 i = threadIdx.x; i < nodes; i += BIAS_THREADS) {
        if (!(shares[i] > LEAST)) continue;
        const float64 ratio = float64(values[i]) / float64(shares[i]), f = job.logarithm ? ratio : log(ratio);
        sum += f * float64(shares[i]);
        all += float64(shares[i]);
    }
    block_sums(sum, all);
    if (threadIdx.x == 0) mean = sum / all;
    __syncthreads();
    for (int32 i = threadIdx.x; i < nodes; i += BIAS_THREADS) {
        float64 f = 0;
        if (shares[i] > LEAST) {
            const float64 ratio = float64(values[i]) / float64(shares[i]);
            f = (job.logarithm ? ratio : log(ratio)) - mean;
        }
        values[i] = float32(f);
    }
    __syncthreads();
    const float64 stencil[3] = {-1.0 / 6, 8.0 / 6, -1.0 / 6};
    const float32* const balance = job.balance + int64(b) * points;
    float64* const lattice = job.lattice + int64(b) * points;
    sum = all = 0;
    for (int32 i = threadIdx.x; i < points; i += BIAS_THREADS) {
        const int32 at = i / (ky * kx) * plane + i / kx % ky * row + i % kx;
        float64 control = 0;
#pragma unroll
        for (int32 z = 0; z < 3; z++)
#pragma unroll
            for (int32 y = 0; y < 3; y++)
#pragma unroll
                for (int32 x = 0; x < 3; x++)
                    control += stencil[z] * stencil[y] * stencil[x] * float64(values[at + z * plane + y * row + x]);
        lattice[i] = control;
        sum += control * float64(balance[i]);
        all += float64(balance[i]);
    }
    block_sums(sum, all);
    if (threadIdx.x == 0) mean = sum / all;
    __syncthreads();
    for (int32 i = threadIdx.x; i < points; i += BIAS_THREADS) lattice[i] -= mean;
}
