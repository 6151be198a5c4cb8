// Of each chunk: how many voxels count, and for K channels sums, and products of the deviations from the chunk's own
// means, of every two channels; and how many values inside are not finite
//
// Bytes: x and the mask once; a chunk of a few channels stays in the first-level cache, from where its values are read
// again for the products. Sums are of 256 lanes, added as a tree: the bits of the CPU's, and the same on every run.
#include "chunks.cuh"

constexpr int COVARIANCE_VOXELS = 8;
constexpr int COVARIANCE_CHANNELS = 16;
constexpr float64 LARGEST = 1.7976931348623157e308;

struct CovarianceJob {
    MaskedJob voxels;  // of the first channel
    int64 step;        // elements from one channel to the next
    int32 channels;
    int32 padding;
};

// All lanes of the block added up, for every thread: lane i takes in lane i + step.
template <class T>
__device__ T tree(T mine, T* lanes) {
    lanes[threadIdx.x] = mine;
    for (int32 step = CHUNK_THREADS / 2; step > 0; step /= 2) {
        __syncthreads();
        if (int32(threadIdx.x) < step) lanes[threadIdx.x] = lanes[threadIdx.x] + lanes[threadIdx.x + step];
    }
    __syncthreads();
    const T all = lanes[0];
    __syncthreads();
    return all;
}

template <class T>
__global__ void __launch_bounds__(CHUNK_THREADS, 2)
covariance(const __grid_constant__ CovarianceJob one, const Jobs<CovarianceJob> jobs) {
    __shared__ float64 lanes[CHUNK_THREADS], means[COVARIANCE_CHANNELS];
    __shared__ int32 counts[CHUNK_THREADS];
    uint32 block;
    const CovarianceJob& job = find_job(one, jobs, block);
    const int32 channels = job.channels;
    const int64 first = int64(block) * CHUNK_THREADS * COVARIANCE_VOXELS + threadIdx.x;
    const int32 columns = 1 + 2 * channels + channels * (channels + 1) / 2;
    float64* row = static_cast<float64*>(job.voxels.out) + int64(block) * columns;
    const bool writes = threadIdx.x == 0;

    const MaskedJob& voxels = job.voxels;
    const T* const x = static_cast<const T*>(voxels.x);
    int64 from[COVARIANCE_VOXELS];
    uint32 inside = 0;
#pragma unroll
    for (int32 j = 0; j < COVARIANCE_VOXELS; j++) {
        const int64 i = first + j * CHUNK_THREADS;
        int64 at = i;
        from[j] = i;
        if (!voxels.flat) {
            const int64 line = i / voxels.shape[2], column = i % voxels.shape[2];
            const int64 z = line / voxels.shape[1], y = line % voxels.shape[1];
            from[j] = z * voxels.strides[0] + y * voxels.strides[1] + column * voxels.strides[2];
            at = z * voxels.mask_strides[0] + y * voxels.mask_strides[1] + column * voxels.mask_strides[2];
        }
        inside |= uint32(i < voxels.size && is_inside(voxels, at)) << j;
    }
    uint32 finite = inside;
    for (int32 k = 0; k < channels; k++) {
        const T* const channel = x + k * job.step;
        int32 odd = 0;
#pragma unroll
        for (int32 j = 0; j < COVARIANCE_VOXELS; j++) {
            if (!(inside >> j & 1) || fabs(number<float64>(channel[from[j]])) <= LARGEST) continue;
            finite &= ~(1u << j);
            odd++;
        }
        odd = tree(odd, counts);
        if (writes) row[1 + k] = odd;
    }
    const int32 n = tree(int32(__popc(finite)), counts);
    if (writes) row[0] = n;
    if (n == 0) return;
    row += 1 + channels;
    for (int32 k = 0; k < channels; k++) {
        const T* const channel = x + k * job.step;
        float64 sum = 0;
#pragma unroll
        for (int32 j = 0; j < COVARIANCE_VOXELS; j++)
            if (finite >> j & 1) sum += number<float64>(channel[from[j]]);
        sum = tree(sum, lanes);
        if (!writes) continue;
        means[k] = sum / n;
        row[k] = sum;
    }
    __syncthreads();
    row += channels;
    for (int32 i = 0; i < channels; i++) {
        const T* const mine = x + i * job.step;
        const float64 mean = means[i];
        float64 away[COVARIANCE_VOXELS];
#pragma unroll
        for (int32 j = 0; j < COVARIANCE_VOXELS; j++)
            away[j] = finite >> j & 1 ? number<float64>(mine[from[j]]) - mean : 0;
        for (int32 k = i; k < channels; k++) {
            const T* const other = x + k * job.step;
            const float64 center = means[k];
            float64 sum = 0;
#pragma unroll
            for (int32 j = 0; j < COVARIANCE_VOXELS; j++)
                if (finite >> j & 1) sum += away[j] * (number<float64>(other[from[j]]) - center);
            sum = tree(sum, lanes);
            if (writes) *row = sum;
            row++;
        }
    }
}
