// A bias field as a polynomial, fitted to what log intensities are above their sharpened ones. A reweighting is eight
// launches: the histogram of what is left, its sharpening, the sums of weights and of weighted residuals against Legendre
// polynomials (two each), the normal equations, and what is left then.
#include "sharpen.cuh"

constexpr int MOST_TERMS = 35, MOST_BINS = 512;

struct PolynomialJob {
    BiasJob bias;
    Sharpening sharpening;
    float64 threshold, tuning, ridge, relaxation;
    const float64* moments;  // of the weights, up to twice the order
    const float64* sums;  // of the weighted residuals
    const float64* share;  // of all voxels alike
    const float64* products;  // (k, k, 2k - 1): P_i P_j = sum_a t[i, j, a] P_a
    const int32* terms;  // (count, 3): degrees along z, y, x
    int32* steps;
    float64* changes;
    int32 order, count, padding[2];
};

__global__ void __launch_bounds__(BIAS_THREADS)
collect(const __grid_constant__ PolynomialJob job) { collect_block(job.bias); }

__global__ void __launch_bounds__(BIAS_THREADS, 4)
count(const __grid_constant__ PolynomialJob job) { count_block(job.bias); }

template <int TAPS>
__global__ void __launch_bounds__(BIAS_THREADS, 2)
gather(const __grid_constant__ PolynomialJob job) { gather_block<TAPS>(job.bias); }

template <int TAPS>
__global__ void __launch_bounds__(BIAS_THREADS, 4)
subtract(const __grid_constant__ PolynomialJob job) { subtract_block<TAPS>(job.bias); }

// The sums of all boxes: a warp for each point.
template <int TAPS>
__global__ void __launch_bounds__(BIAS_THREADS)
total(const __grid_constant__ PolynomialJob job) {
    const BiasJob& bias = job.bias;
    const int32 points = bias.against[0].controls * bias.against[1].controls * bias.against[2].controls;
    const int32 blocks = (points + BIAS_WARPS - 1) / BIAS_WARPS, b = blockIdx.x / blocks;
    const int32 point = int32(blockIdx.x) % blocks * BIAS_WARPS + int32(threadIdx.x) / 32;
    if (bias.state[b].done || point >= points) return;
    const float64 sum = point_sum<TAPS>(bias, b, point);
    if (threadIdx.x % 32 == 0) bias.density[int64(b) * points + point] = sum;
}

// Whether the last step was the last one, and otherwise what is expected of each bin, and how far voxels are from it: the
// median of their distances. Counts between two distances are shared between both, so that it is continuous. A block per
// volume.
__global__ void __launch_bounds__(BIAS_THREADS)
sharpen(const __grid_constant__ PolynomialJob job) {
    DYNAMIC_SHARED(Complex, memory);
    __shared__ float64 number[MOST_BINS], near[MOST_BINS];
    const BiasJob& bias = job.bias;
    const int32 bins = bias.bins, b = blockIdx.x;
    State& state = bias.state[b];
    if (state.done) return;
    if (state.step > 0 && has_ended(state, change_of(bias, b), job.threshold, job.steps, job.changes, b)) return;
    float32 low;
    const float64 slope = begin_step(state, bins, low);
    if (!(slope > 0)) return;
    const uint64* const counted = bias.counted + int64(b) * 2 * (bins + 1);
    for (int32 i = threadIdx.x; i < bins; i += BIAS_THREADS) {
        number[i] = bin_count(counted, bins, i);
        near[i] = 0;
    }
    __syncthreads();
    sharpen_block(bias, job.sharpening, memory, low, slope);
    __syncthreads();
    if (threadIdx.x != 0) return;
    const float32* const expected = bias.expected + int64(b) * 2 * bins;
    float64 all = 0, before = 0;
    for (int32 i = 0; i < bins; i++) {
        const float64 far = fabs(float64(low) + slope * i - float64(expected[2 * i])) / slope;
        const float64 away = far < bins - 1 ? far : bins - 1;
        const int32 base = int32(away), above = base + 1 < bins ? base + 1 : base;
        near[base] += number[i] * (1 - (away - base));
        near[above] += number[i] * (away - base);
        all += number[i];
    }
    int32 middle = 0;
    while (middle < bins - 1 && before + near[middle] <= all / 2) before += near[middle++];
    const float64 median = middle - 0.5 + (all / 2 - before) / near[middle];
    state.scale = job.tuning * (1.4826 * (median > 0.5 ? median : 0.5) * slope);
}

// The normal equations, by Cholesky's decomposition, and the coefficients with what they say. A block per volume.
__global__ void __launch_bounds__(BIAS_THREADS, 2)
fit(const __grid_constant__ PolynomialJob job) {
    __shared__ float64 normal[MOST_TERMS][MOST_TERMS], right[MOST_TERMS];
    const BiasJob& bias = job.bias;
    const int32 n = job.count, k = job.order + 1, wide = 2 * job.order + 1, b = blockIdx.x;
    const State& state = bias.state[b];
    if (state.done || !(state.slope > 0)) return;
    const float64* const moments = job.moments + int64(b) * wide * wide * wide;
    for (int32 i = threadIdx.x; i < n * n; i += BIAS_THREADS) {
        const int32 *const s = job.terms + i / n * 3, *const t = job.terms + i % n * 3;
        const float64 *const pz = job.products + (s[0] * k + t[0]) * wide, *const py = job.products + (s[1] * k + t[1]) * wide;
        const float64* const px = job.products + (s[2] * k + t[2]) * wide;
        float64 sum = 0;
#pragma unroll 1
        for (int32 z = 0; z < wide; z++)
#pragma unroll 1
            for (int32 y = 0; y < wide; y++)
                for (int32 x = 0; x < wide; x++) sum += pz[z] * py[y] * px[x] * moments[(z * wide + y) * wide + x];
        normal[i / n][i % n] = sum;
    }
    __syncthreads();
    if (threadIdx.x == 0) {
        float64 trace = 0;
        for (int32 i = 0; i < n; i++) trace += normal[i][i];
        for (int32 i = 0; i < n; i++) {
            normal[i][i] += job.ridge * trace / n;
            const int32* const t = job.terms + 3 * i;
            right[i] = job.sums[((int64(b) * k + t[0]) * k + t[1]) * k + t[2]];
        }
    }
    for (int32 c = 0; c < n; c++) {
        __syncthreads();
        if (threadIdx.x == 0) normal[c][c] = sqrt(normal[c][c]);
        __syncthreads();
        for (int32 i = c + 1 + threadIdx.x; i < n; i += BIAS_THREADS) normal[i][c] /= normal[c][c];
        __syncthreads();
        const int32 rest = n - c - 1;
        for (int32 i = threadIdx.x; i < rest * rest; i += BIAS_THREADS) {
            const int32 row = c + 1 + i / rest, column = c + 1 + i % rest;
            if (column <= row) normal[row][column] -= normal[row][c] * normal[column][c];
        }
    }
    __syncthreads();
    if (threadIdx.x != 0) return;
    for (int32 i = 0; i < n; i++) {
        for (int32 j = 0; j < i; j++) right[i] -= normal[i][j] * right[j];
        right[i] /= normal[i][i];
    }
    float64* const lattice = bias.lattice + int64(b) * k * k * k;
    const float64* const share = job.share + int64(b) * k * k * k;
    float64 constant = 0;
    for (int32 i = n - 1; i >= 0; i--) {
        for (int32 j = i + 1; j < n; j++) right[i] -= normal[j][i] * right[j];
        right[i] /= normal[i][i];
        const int32 *const t = job.terms + 3 * i, at = (t[0] * k + t[1]) * k + t[2];
        lattice[at] += job.relaxation * right[i];
        constant += lattice[at] * share[at] / share[0];
    }
    // The constant: a field whose logarithm has the mean zero.
    lattice[0] -= constant;
}

// The change of the last step. A block per volume.
__global__ void __launch_bounds__(BIAS_THREADS)
end_fit(const __grid_constant__ PolynomialJob job) {
    const int32 b = blockIdx.x;
    State& state = job.bias.state[b];
    if (!state.done) has_ended(state, change_of(job.bias, b), job.threshold, job.steps, job.changes, b);
}
