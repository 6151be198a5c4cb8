// Of d = b - a of each volume: how many count, sums of d, |d| and d^2, the largest |d|; and how many are not finite
//
// Bytes: a, b and the mask once; the floor is those over the memory's bandwidth. Integers of 8 and 16 bits are summed
// exactly. Threads, and then blocks, are put together in a fixed order: the same bits on every run.
#include "rows.cuh"

constexpr int ERRORS_VOXELS = 64;
constexpr int ERRORS_AT_ONCE = 2;
constexpr float64 LARGEST = 1.7976931348623157e308;

struct ErrorsJob {
    BatchJob voxels;  // of a
    const void* b;
    int64 strides[3];
    int64 step;  // elements from a volume to the next
    int32 flat;  // b is contiguous
    int32 padding;
};

template <class F>
struct Row {
    F count, total, absolute, square, largest, odd;

    __device__ __forceinline__ void take(const Row& r) {
        count += r.count;
        total += r.total;
        absolute += r.absolute;
        square += r.square;
        largest = r.largest > largest ? r.largest : largest;
        odd += r.odd;
    }
    __device__ __forceinline__ Row below(int32 lanes) const {
        constexpr uint32 ALL = 0xffffffffu;
        Row r;
        r.count = __shfl_down_sync(ALL, count, lanes);
        r.total = __shfl_down_sync(ALL, total, lanes);
        r.absolute = __shfl_down_sync(ALL, absolute, lanes);
        r.square = __shfl_down_sync(ALL, square, lanes);
        r.largest = __shfl_down_sync(ALL, largest, lanes);
        r.odd = __shfl_down_sync(ALL, odd, lanes);
        return r;
    }
};

// Sums of one thread's differences.
template <class T>
struct Sums {
    using F = float64;
    float64 total = 0, absolute = 0, square = 0, largest = 0;
    int32 count = 0, odd = 0;

    __device__ __forceinline__ void operator()(T a, T b) {
        const float64 d = number<float64>(b) - number<float64>(a), size = fabs(d);
        if (!(size <= LARGEST)) {
            odd++;
            return;
        }
        count++;
        total += d;
        absolute += size;
        square += d * d;
        largest = size > largest ? size : largest;
    }
    __device__ __forceinline__ Row<F> row() const {
        return {F(count), total, absolute, square, largest, F(odd)};
    }
};

template <class T>
struct ExactSums {
    using F = int64;
    int32 count = 0, total = 0;
    uint32 absolute = 0, largest = 0;
    uint64 square = 0;

    __device__ __forceinline__ void operator()(T a, T b) {
        const int32 d = int32(b) - int32(a);
        const uint32 size = uint32(d < 0 ? -d : d);
        count++;
        total += d;
        absolute += size;
        square += size * size;  // below 2^32
        largest = size > largest ? size : largest;
    }
    __device__ __forceinline__ Row<F> row() const { return {count, total, absolute, F(square), largest, 0}; }
};
template <>
struct Sums<uint8> : ExactSums<uint8> {};
template <>
struct Sums<int16> : ExactSums<int16> {};
template <>
struct Sums<uint16> : ExactSums<uint16> {};

// ``sums`` of the voxels inside of one chunk of a volume, as `each_inside` goes through it.
template <class T>
__device__ __forceinline__ void each_pair(const ErrorsJob& job, int64 volume, int64 chunk, Sums<T>& sums) {
    constexpr int PACK = 16 / sizeof(T);
    const BatchJob& voxels = job.voxels;
    const int64 first = chunk * CHUNK_THREADS * ERRORS_VOXELS;
    const int64 step = volume * voxels.step, mask_step = volume * voxels.mask_step;
    const T* const others = static_cast<const T*>(job.b) + volume * job.step;
    if (voxels.packed && first + CHUNK_THREADS * ERRORS_VOXELS <= voxels.one.size) {
        const int64 mine = first + threadIdx.x * PACK;
        const T* const x = static_cast<const T*>(voxels.one.x) + step + mine;
        const uint8* const marks = static_cast<const uint8*>(voxels.one.mask);
#pragma unroll 1
        for (int32 j = 0; j < ERRORS_VOXELS; j += PACK * ERRORS_AT_ONCE) {
            Pack<T, PACK> a[ERRORS_AT_ONCE], b[ERRORS_AT_ONCE];
            Pack<uint8, PACK> inside[ERRORS_AT_ONCE];
#pragma unroll
            for (int k = 0; k < ERRORS_AT_ONCE; k++) {
                const int64 at = int64(j + k * PACK) * CHUNK_THREADS;
                a[k].load(x + at);
                b[k].load(others + mine + at);
                if (marks != nullptr) inside[k].load(marks + mask_step + mine + at);
                else memset(inside[k].v, 1, sizeof(inside[k].v));
            }
#pragma unroll
            for (int k = 0; k < ERRORS_AT_ONCE; k++)
#pragma unroll
                for (int i = 0; i < PACK; i++)
                    if (inside[k].v[i] != 0) sums(a[k].v[i], b[k].v[i]);
        }
        return;
    }
    for (int32 j = 0; j < ERRORS_VOXELS; j++) {
        const int64 i = first + j * CHUNK_THREADS + threadIdx.x;
        T value;
        if (!load_inside(voxels.one, step, mask_step, i, value)) continue;
        int64 at = i;
        if (!job.flat) {
            const int64 row = i / voxels.one.shape[2], x = i % voxels.one.shape[2];
            const int64 z = row / voxels.one.shape[1], y = row % voxels.one.shape[1];
            at = z * job.strides[0] + y * job.strides[1] + x * job.strides[2];
        }
        sums(value, others[at]);
    }
}

// Two blocks on a multiprocessor, said to the compiler so that it does not spill for the sake of more.
template <class T>
__global__ void __launch_bounds__(CHUNK_THREADS, 2)
errors(const __grid_constant__ ErrorsJob job) {
    const uint32 block = blockIdx.x;
    const int64 volume = block / job.voxels.chunks;
    Sums<T> sums;
    each_pair<T>(job, volume, block % job.voxels.chunks, sums);
    gather(sums.row(), job.voxels.one.out, block);
}

// The rows of a volume as one, in one block.
template <class F>
__global__ void __launch_bounds__(CHUNK_THREADS)
merge(const __grid_constant__ MergeJob job) {
    gather_rows(Row<F>{}, job, blockIdx.x);
}
