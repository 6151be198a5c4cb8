// out = (x - dark) gain, where there are such
//
// Bytes: x and out once, and 4 of a pixel for each map; a map for every image of a batch comes from the caches where it
// fits. Contiguous volumes move in words of up to 16 bytes, several on their way at once; any other layout is read
// where it lies.
#include "common.cuh"
#include "packs.cuh"

constexpr int FLAT_THREADS = 256;
constexpr int FLAT_VOXELS = 8;

struct MapJob {
    const float32* data;  // null where there is none
    int64 strides[4];
};

struct FlatJob {
    const void* x;
    void* out;
    MapJob dark, gain;
    int64 strides[4];
    int64 size;  // of a volume
    int32 shape[3];
    int32 chunks;  // blocks of a volume
    int32 aligned;  // all are contiguous, and so placed that packs can be moved as words
    int32 padding;
};

template <class T>
__device__ __forceinline__ float32 corrected(T value, float32 dark, float32 gain, const FlatJob& job) {
    float32 y = number<float32>(value);
    y = job.dark.data != nullptr ? y - dark : y;
    return job.gain.data != nullptr ? y * gain : y;
}

// Four blocks on a multiprocessor, said to the compiler so that it does not spill for the sake of more.
template <class In, class Out>
__global__ void __launch_bounds__(FLAT_THREADS, 4)
flat_field(const __grid_constant__ FlatJob one, const Jobs<FlatJob> jobs) {
    // Of float32 four are 16 bytes.
    constexpr int PACK = 4, PACKS = FLAT_VOXELS / PACK;
    constexpr int64 CHUNK = FLAT_THREADS * FLAT_VOXELS;
    uint32 block;
    const FlatJob& job = find_job(one, jobs, block);
    const int64 volume = block / job.chunks, begin = block % job.chunks * CHUNK;
    const int64 end = begin + CHUNK < job.size ? begin + CHUNK : job.size;
    const In* const x = static_cast<const In*>(job.x) + volume * job.strides[0];
    const float32* const dark = job.dark.data + volume * job.dark.strides[0];
    const float32* const gain = job.gain.data + volume * job.gain.strides[0];
    Out* const out = static_cast<Out*>(job.out) + volume * job.size;
    if (job.aligned && end - begin == CHUNK) {
        Pack<In, PACK> values[PACKS];
        Pack<float32, PACK> darks[PACKS]{}, gains[PACKS]{};
#pragma unroll
        for (int k = 0; k < PACKS; k++) {
            const int64 at = begin + (k * FLAT_THREADS + threadIdx.x) * PACK;
            values[k].load(x + at);
            if (job.dark.data != nullptr) darks[k].load(dark + at);
            if (job.gain.data != nullptr) gains[k].load(gain + at);
        }
#pragma unroll
        for (int k = 0; k < PACKS; k++) {
            Pack<Out, PACK> results;
#pragma unroll
            for (int i = 0; i < PACK; i++)
                results.v[i] = Cast<Out>::of(corrected(values[k].v[i], darks[k].v[i], gains[k].v[i], job));
            results.store(out + begin + (k * FLAT_THREADS + threadIdx.x) * PACK);
        }
        return;
    }
    for (int64 i = begin + threadIdx.x; i < end; i += FLAT_THREADS) {
        const int64 row = i / job.shape[2], column = i % job.shape[2], z = row / job.shape[1], y = row % job.shape[1];
        const auto at = [&](const int64* strides) { return z * strides[1] + y * strides[2] + column * strides[3]; };
        const float32 less = job.dark.data != nullptr ? dark[at(job.dark.strides)] : 0.0f;
        const float32 times = job.gain.data != nullptr ? gain[at(job.gain.strides)] : 1.0f;
        out[i] = Cast<Out>::of(corrected(x[at(job.strides)], less, times, job));
    }
}
