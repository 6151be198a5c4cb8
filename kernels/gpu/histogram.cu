// out[k] = how many voxels inside have edges[k] <= v < edges[k + 1], the last bin with its upper edge
//
// Bytes: x and the mask once. A block counts in shared memory where the bins fit, and a thread the run of voxels that
// fall into one bin, as background does, before it adds them.
#include "chunks.cuh"

constexpr int HISTOGRAM_VOXELS = 64;

struct HistogramJob {
    MaskedJob voxels;
    const float64* edges;
    float64 scale;  // bins per unit
    int32 bins;
    int32 shared;  // 1 where the counts of a block are
};

// Four blocks on a multiprocessor, said to the compiler so that it does not spill for the sake of more.
template <class T>
__global__ void __launch_bounds__(CHUNK_THREADS, 4)
histogram(const __grid_constant__ HistogramJob one, const Jobs<HistogramJob> jobs) {
    DYNAMIC_SHARED(uint32, counts);
    uint32 block;
    const HistogramJob& job = find_job(one, jobs, block);
    uint64* const out = static_cast<uint64*>(job.voxels.out);
    const float64* const edges = job.edges;
    const int32 bins = job.bins, top = bins - 1;
    const bool shared = job.shared != 0;
    if (shared)
        for (int32 k = threadIdx.x; k < bins; k += CHUNK_THREADS) counts[k] = 0;
    __syncthreads();

    const float64 low = edges[0], high = edges[bins], scale = job.scale;
    const int64 first = int64(block) * CHUNK_THREADS * HISTOGRAM_VOXELS + threadIdx.x;
    int32 bin = 0;
    uint32 run = 0;
    for (int32 j = 0; j < HISTOGRAM_VOXELS; j++) {
        T value;
        if (!load_inside(job.voxels, first + j * CHUNK_THREADS, value)) continue;
        const float64 v = number<float64>(value);
        if (!(v >= low && v <= high)) continue;
        // A guess, and then what the edges say.
        const float64 at = (v - low) * scale;
        int32 k = at < top ? int32(at) : top;
        while (v < edges[k]) k--;
        while (k < top && v >= edges[k + 1]) k++;
        if (k != bin && run > 0) {
            if (shared) atomicAdd(counts + bin, run); else atomicAdd(out + bin, uint64(run));
            run = 0;
        }
        bin = k;
        run++;
    }
    if (run > 0) {
        if (shared) atomicAdd(counts + bin, run); else atomicAdd(out + bin, uint64(run));
    }
    __syncthreads();
    if (!shared) return;
    for (int32 k = threadIdx.x; k < bins; k += CHUNK_THREADS)
        if (counts[k] > 0) atomicAdd(out + k, uint64(counts[k]));
}
