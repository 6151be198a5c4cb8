// out[k] = how many voxels inside have the k-th value of a type of 8 or 16 bits, in order
//
// Bytes: x and the mask once; the floor is those over the memory's bandwidth. A block counts a window of the values in
// shared memory, placed by a few of its voxels, and what lies beyond where the result is; a thread adds a run of one
// value, as background is, at once.
#include "order.cuh"
#include "chunks.cuh"

constexpr int COUNTS_VOXELS = 256;
constexpr int COUNTS_WINDOW = 8192;
// Values below the least of those few that are in the window, too.
constexpr int COUNTS_BELOW = 512;

template <class T>
struct Counter {
    uint32* const window;
    uint64* const out;
    const int32 base, size;
    int32 key = 0;
    uint32 run = 0;

    __device__ __forceinline__ Counter(uint32* w, uint64* o, int32 b, int32 s) : window(w), out(o), base(b), size(s) {}
    __device__ __forceinline__ void operator()(T value) {
        const int32 k = int32(order_of(value));
        if (k != key) add();
        key = k;
        run++;
    }
    __device__ __forceinline__ void add() {
        if (run == 0) return;
        const int32 at = key - base;
        if (at >= 0 && at < size) atomicAdd(window + at, run); else atomicAdd(out + key, uint64(run));
        run = 0;
    }
};

template <class T>
__global__ void __launch_bounds__(CHUNK_THREADS, 4)
counts(const __grid_constant__ BatchJob one, const Jobs<BatchJob> jobs) {
    constexpr int BINS = 1 << 8 * sizeof(T), SIZE = BINS < COUNTS_WINDOW ? BINS : COUNTS_WINDOW;
    __shared__ uint32 window[SIZE];
    __shared__ int32 least;
    uint32 block;
    const BatchJob& job = find_job(one, jobs, block);
    const int64 volume = block / job.chunks, chunk = block % job.chunks;
    uint64* const out = static_cast<uint64*>(job.one.out) + volume * BINS;
    for (int32 k = threadIdx.x; k < SIZE; k += CHUNK_THREADS) window[k] = 0;
    if (threadIdx.x == 0) least = BINS;
    __syncthreads();
    if (BINS > SIZE) {
        T value;
        const int64 at = (chunk * CHUNK_THREADS + threadIdx.x) * COUNTS_VOXELS;
        if (load_inside(job.one, volume * job.step, volume * job.mask_step, at, value))
            atomicMin(&least, int32(order_of(value)));
        __syncthreads();
    }
    const int32 low = least - COUNTS_BELOW, base = BINS == SIZE || low < 0 ? 0 : low < BINS - SIZE ? low : BINS - SIZE;
    Counter<T> counter(window, out, base, SIZE);
    each_inside<T, COUNTS_VOXELS, 4>(job, volume, chunk, counter);
    counter.add();
    __syncthreads();
    for (int32 k = threadIdx.x; k < SIZE; k += CHUNK_THREADS)
        if (window[k] > 0) atomicAdd(out + base + k, uint64(window[k]));
}

struct ClearJob {
    const void* none;
    void* out;
    int64 words;
};

// Zeros.
template <class T>
__global__ void __launch_bounds__(CHUNK_THREADS)
clear(const __grid_constant__ ClearJob one, const Jobs<ClearJob> jobs) {
    uint32 block;
    const ClearJob& job = find_job(one, jobs, block);
    const int64 at = int64(block) * CHUNK_THREADS + threadIdx.x;
    if (at < job.words) static_cast<T*>(job.out)[at] = 0;
}
