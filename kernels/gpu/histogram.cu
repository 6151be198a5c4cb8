// out[k] = how many voxels inside have edges[k] <= v < edges[k + 1], the last bin with its upper edge
//
// Bytes: x and the mask once; the floor is those over the memory's bandwidth. A block counts in shared memory where the
// bins fit, and a thread the run of voxels that fall into one bin, as background does, before it adds them.
#include "chunks.cuh"

constexpr int HISTOGRAM_VOXELS = 64;
// As many as registers hold.
template <class T>
constexpr int HISTOGRAM_AT_ONCE = sizeof(T) < 4 ? 1 : 2;

struct HistogramJob {
    BatchJob voxels;
    const float64* edges;  // of each volume, bins + 1
    int32 bins;
    int32 shared;  // 1 where the counts of a block are
};

template <class T>
struct Binning {
    uint32* const counts;
    uint64* const out;
    const float64* const edges;
    const int32 top, shared;
    const float64 low, high, scale;
    int32 bin = 0;
    uint32 run = 0;

    __device__ __forceinline__ Binning(uint32* c, uint64* o, const float64* e, int32 bins, int32 s)
        : counts(c), out(o), edges(e), top(bins - 1), shared(s), low(e[0]), high(e[bins]), scale(bins / (high - low)) {}
    __device__ __forceinline__ void operator()(T value) {
        const float64 v = number<float64>(value);
        if (!(v >= low && v <= high)) return;
        // A guess, and then what the edges say.
        const float64 at = (v - low) * scale;
        int32 k = at < top ? int32(at) : top;
        while (v < edges[k]) k--;
        while (k < top && v >= edges[k + 1]) k++;
        if (k != bin) add();
        bin = k;
        run++;
    }
    __device__ __forceinline__ void add() {
        if (run == 0) return;
        if (shared) atomicAdd(counts + bin, run); else atomicAdd(out + bin, uint64(run));
        run = 0;
    }
};

// Four blocks on a multiprocessor, said to the compiler so that it does not spill for the sake of more.
template <class T>
__global__ void __launch_bounds__(CHUNK_THREADS, 4)
histogram(const __grid_constant__ HistogramJob one, const Jobs<HistogramJob> jobs) {
    DYNAMIC_SHARED(uint32, counts);
    uint32 block;
    const HistogramJob& job = find_job(one, jobs, block);
    const int64 volume = block / job.voxels.chunks, chunk = block % job.voxels.chunks;
    const int32 bins = job.bins;
    uint64* const out = static_cast<uint64*>(job.voxels.one.out) + volume * bins;
    if (job.shared)
        for (int32 k = threadIdx.x; k < bins; k += CHUNK_THREADS) counts[k] = 0;
    __syncthreads();
    Binning<T> binning(counts, out, job.edges + volume * (bins + 1), bins, job.shared);
    each_inside<T, HISTOGRAM_VOXELS, HISTOGRAM_AT_ONCE<T>>(job.voxels, volume, chunk, binning);
    binning.add();
    __syncthreads();
    if (!job.shared) return;
    for (int32 k = threadIdx.x; k < bins; k += CHUNK_THREADS)
        if (counts[k] > 0) atomicAdd(out + k, uint64(counts[k]));
}
