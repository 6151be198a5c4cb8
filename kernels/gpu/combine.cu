// out = sum_k weight_k x_k + offset, added up in the order of k
//
// Bytes: K * sizeof(In) + sizeof(Out) a voxel. Contiguous channels move in words of up to 16 bytes, several on their
// way at once; any other layout is read where it lies.
#include "pointwise.cuh"

constexpr int COMBINE_CHANNELS = 16;

struct CombineJob {
    const void* x;
    void* out;
    int64 size;  // of a channel
    int64 step;  // elements of x from one channel to the next
    int64 shape[3];
    int64 strides[3];
    int32 flat;     // a channel is contiguous
    int32 aligned;  // and all are so placed that packs can be moved as words
    int32 channels;
    int32 padding;
    float64 weight[COMBINE_CHANNELS];
    float64 offset;
};

template <class In, class Out>
__global__ void __launch_bounds__(POINTWISE_THREADS, 2)
combine(const __grid_constant__ CombineJob one, const Jobs<CombineJob> jobs) {
    using C = Compute<In, Out>;
    uint32 block;
    const CombineJob& job = find_job(one, jobs, block);
    const In* const x = static_cast<const In*>(job.x);
    Out* const out = static_cast<Out*>(job.out);
    const int64 step = job.step;
    const int32 channels = job.channels;
    const C offset = C(job.offset);
    constexpr int VOXELS = POINTWISE_VOXELS<C> / 2;
    constexpr int PACK = 16 / (sizeof(In) > sizeof(Out) ? sizeof(In) : sizeof(Out));
    constexpr int PACKS = VOXELS / PACK;
    constexpr int64 CHUNK = int64(POINTWISE_THREADS) * VOXELS;
    const int64 begin = block * CHUNK, end = begin + CHUNK < job.size ? begin + CHUNK : job.size;

    if (job.aligned && end - begin == CHUNK) {
        const int64 mine = begin + threadIdx.x * PACK;
        constexpr int64 NEXT = POINTWISE_THREADS * PACK;
        C sums[PACKS][PACK] = {};
#pragma unroll 1
        for (int32 k = 0; k < channels; k++) {
            const C weight = C(job.weight[k]);
            const In* const from = x + k * step + mine;
            Pack<In, PACK> packs[PACKS];
#pragma unroll
            for (int i = 0; i < PACKS; i++) packs[i].load(from + i * NEXT);
#pragma unroll
            for (int i = 0; i < PACKS; i++)
#pragma unroll
                for (int j = 0; j < PACK; j++) sums[i][j] += weight * number<C>(packs[i].v[j]);
        }
#pragma unroll
        for (int i = 0; i < PACKS; i++) {
            Pack<Out, PACK> results;
#pragma unroll
            for (int j = 0; j < PACK; j++) results.v[j] = Cast<Out>::of(sums[i][j] + offset);
            results.store(out + mine + i * NEXT);
        }
        return;
    }
    for (int64 at = begin + threadIdx.x; at < end; at += POINTWISE_THREADS) {
        int64 from = at;
        if (!job.flat) {
            const int64 row = at / job.shape[2];
            from = row / job.shape[1] * job.strides[0] + row % job.shape[1] * job.strides[1];
            from += at % job.shape[2] * job.strides[2];
        }
        C sum = 0;
#pragma unroll 1
        for (int32 k = 0; k < channels; k++) sum += C(job.weight[k]) * number<C>(x[from + k * step]);
        out[at] = Cast<Out>::of(sum + offset);
    }
}
