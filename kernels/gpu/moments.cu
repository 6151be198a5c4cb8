// Of each chunk: count, sum, squared deviations from its own mean, extremes, and how many values are not finite
//
// Bytes: x and the mask once. A thread holds 16 voxels of a chunk in registers, so the deviations need no second read;
// sums are of 256 lanes, added as a tree: the bits of the CPU's, and the same on every run.
#include "chunks.cuh"

constexpr int MOMENTS_VOXELS = 16;
constexpr float64 LARGEST = 1.7976931348623157e308;

struct Sum {
    template <class T>
    __device__ __forceinline__ T operator()(T a, T b) const { return a + b; }
};
struct Smaller {
    template <class T>
    __device__ __forceinline__ T operator()(T a, T b) const { return b < a ? b : a; }
};
struct Larger {
    template <class T>
    __device__ __forceinline__ T operator()(T a, T b) const { return b > a ? b : a; }
};

// All lanes of the block as one, for every thread: lane i takes in lane i + step.
template <class F, class T>
__device__ T tree(T mine, T* lanes, F f) {
    lanes[threadIdx.x] = mine;
    for (int32 step = CHUNK_THREADS / 2; step > 0; step /= 2) {
        __syncthreads();
        if (int32(threadIdx.x) < step) lanes[threadIdx.x] = f(lanes[threadIdx.x], lanes[threadIdx.x + step]);
    }
    __syncthreads();
    const T all = lanes[0];
    __syncthreads();
    return all;
}

template <class T>
__global__ void __launch_bounds__(CHUNK_THREADS)
moments(const __grid_constant__ MaskedJob one, const Jobs<MaskedJob> jobs) {
    __shared__ float64 lanes[CHUNK_THREADS];
    __shared__ int32 counts[CHUNK_THREADS];
    uint32 block;
    const MaskedJob& job = find_job(one, jobs, block);
    const int64 first = int64(block) * CHUNK_THREADS * MOMENTS_VOXELS + threadIdx.x;
    T values[MOMENTS_VOXELS];
    uint32 inside = 0;
#pragma unroll
    for (int32 j = 0; j < MOMENTS_VOXELS; j++)
        inside |= uint32(load_inside(job, first + j * CHUNK_THREADS, values[j])) << j;

    int32 count = 0, odd = 0;
    float64 sum = 0, low = LARGEST, high = -LARGEST;
#pragma unroll
    for (int32 j = 0; j < MOMENTS_VOXELS; j++) {
        if (!(inside >> j & 1)) continue;
        const float64 v = number<float64>(values[j]);
        if (!(fabs(v) <= LARGEST)) {
            odd++;
            inside &= ~(1u << j);
            continue;
        }
        count++;
        sum += v;
        low = v < low ? v : low;
        high = v > high ? v : high;
    }
    const int32 n = tree(count, counts, Sum());
    const float64 total = tree(sum, lanes, Sum()), mean = total / n;
    float64 square = 0;
#pragma unroll
    for (int32 j = 0; j < MOMENTS_VOXELS; j++) {
        const float64 d = number<float64>(values[j]) - mean;
        square += inside >> j & 1 ? d * d : 0;
    }
    const float64 m2 = tree(square, lanes, Sum());
    const float64 lowest = tree(low, lanes, Smaller()), highest = tree(high, lanes, Larger());
    const int32 nonfinite = tree(odd, counts, Sum());
    if (threadIdx.x != 0) return;
    float64* const row = static_cast<float64*>(job.out) + int64(block) * 6;
    row[0] = n;
    row[1] = total;
    row[2] = m2;
    row[3] = lowest;
    row[4] = highest;
    row[5] = nonfinite;
}
