// The size of the finest diagonal wavelet detail: a filter of four taps along every axis, of every second window
//
// Bytes: x once, and an eighth as many results in 3-D. A thread has one result; its 64 voxels are in the cache, where
// its neighbours' are.
#include "common.cuh"

constexpr int DIAGONALS_THREADS = 256;

struct DiagonalsJob {
    const void* x;
    float32* out;
    int64 strides[4];
    int64 shape[3];  // of the result
    int64 size;  // of all of it
    float64 taps[3];  // all but the first
    int32 along[3];  // whether an axis is filtered
    int32 padding;
};

// The taps sum to 0: of differences, so that what is constant leaves no rounding.
__device__ __forceinline__ float64 filtered(const DiagonalsJob& job, float64 a, float64 b, float64 c, float64 d) {
    return job.taps[0] * (b - a) + job.taps[1] * (c - a) + job.taps[2] * (d - a);
}

// Axis AXIS and those after it, from x on.
template <class T, int AXIS>
struct Detail {
    static __device__ __forceinline__ float64 of(const DiagonalsJob& job, const T* x) {
        using After = Detail<T, AXIS + 1>;
        if (!job.along[AXIS]) return After::of(job, x);
        const int64 step = job.strides[AXIS + 1];
        return filtered(job, After::of(job, x), After::of(job, x + step), After::of(job, x + 2 * step),
                        After::of(job, x + 3 * step));
    }
};
template <class T>
struct Detail<T, 3> {
    static __device__ __forceinline__ float64 of(const DiagonalsJob&, const T* x) { return number<float64>(*x); }
};

template <class T>
__global__ void __launch_bounds__(DIAGONALS_THREADS)
diagonals(const __grid_constant__ DiagonalsJob job) {
    const int64 i = int64(blockIdx.x) * DIAGONALS_THREADS + threadIdx.x;
    if (i >= job.size) return;
    const T* x = static_cast<const T*>(job.x);
    int64 rest = i;
#pragma unroll
    for (int axis = 2; axis >= 0; axis--) {
        x += rest % job.shape[axis] * (job.along[axis] ? 2 : 1) * job.strides[axis + 1];
        rest /= job.shape[axis];
    }
    job.out[i] = float32(fabs(Detail<T, 0>::of(job, x + rest * job.strides[0])));
}
