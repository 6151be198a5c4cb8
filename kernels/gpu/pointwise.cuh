// One read, one write per channel: out[k] = f_k(x), voxel by voxel, for any f.
//
// Bytes: sizeof(In) + channels * sizeof(Out) a voxel; the floor is those over the memory's bandwidth. Contiguous
// volumes move in words of up to 16 bytes, several on their way at once; any other layout is read where it lies.
#pragma once
#include "common.cuh"
#include "packs.cuh"

// Two blocks on a multiprocessor at least, said to the compiler so that it does not spill for the sake of more.
constexpr int POINTWISE_THREADS = 256;
// Voxels that a thread has on their way at once, where registers hold them.
template <class C>
constexpr int POINTWISE_VOXELS = sizeof(C) == 4 ? 32 : 16;

struct PointwiseJob {
    const void* x;
    void* out;
    int64 size;
    int64 step;  // elements of one channel of the output
    int64 shape[3];  // the last three axes of x when it is not contiguous
    int64 strides[4];
    int32 flat;  // x is contiguous
    int32 aligned;  // and so placed that packs can be moved as words
    int32 channels;
    int32 padding;
};
struct RampJob : PointwiseJob {
    float64 ramp[Channels::MOST][4];
};

// ``function_of(k)`` is the function of channel k; a thread has 1 / SHARE of the voxels above.
template <class In, class Out, int SHARE = 1, class Functions>
__device__ __forceinline__ void pointwise(const PointwiseJob& job, uint32 block, const Functions& function_of) {
    using C = Compute<In, Out>;
    const In* const x = static_cast<const In*>(job.x);
    Out* const out = static_cast<Out*>(job.out);
    const int64 step = job.step;
    const int32 channels = job.channels;
    // As many as make 16 bytes of the wider type: then neighbouring threads touch neighbouring words on both sides.
    constexpr int PACK = 16 / (sizeof(In) > sizeof(Out) ? sizeof(In) : sizeof(Out));
    constexpr int VOXELS = POINTWISE_VOXELS<C> / SHARE;
    constexpr int PACKS = VOXELS / PACK;
    constexpr int64 CHUNK = int64(POINTWISE_THREADS) * VOXELS;
    const int64 begin = block * CHUNK, end = begin + CHUNK < job.size ? begin + CHUNK : job.size;

    if (job.aligned && end - begin == CHUNK) {
        const int64 mine = begin + threadIdx.x * PACK;
        constexpr int64 NEXT = POINTWISE_THREADS * PACK;
        Pack<In, PACK> packs[PACKS];
#pragma unroll
        for (int i = 0; i < PACKS; i++) packs[i].load(x + mine + i * NEXT);
#pragma unroll 1
        for (int k = 0; k < channels; k++) {
            const auto& f = function_of(k);
            Out* const target = out + k * step + mine;
#pragma unroll
            for (int i = 0; i < PACKS; i++) {
                Pack<Out, PACK> results;
#pragma unroll
                for (int j = 0; j < PACK; j++) results.v[j] = Cast<Out>::of(f(number<C>(packs[i].v[j])));
                results.store(target + i * NEXT);
            }
        }
        return;
    }
    for (int64 at = begin + threadIdx.x; at < end; at += POINTWISE_THREADS) {
        int64 from = at;
        if (!job.flat) {
            int64 rest = at;
            from = rest % job.shape[2] * job.strides[3];
            rest /= job.shape[2];
            from += rest % job.shape[1] * job.strides[2];
            rest /= job.shape[1];
            from += rest % job.shape[0] * job.strides[1] + rest / job.shape[0] * job.strides[0];
        }
        const C value = number<C>(x[from]);
#pragma unroll 1
        for (int k = 0; k < channels; k++) out[at + k * step] = Cast<Out>::of(function_of(k)(value));
    }
}

// Every channel's function is an F made from four numbers.
template <template <class> class F, class In, class Out>
__device__ __forceinline__ void pointwise(const RampJob& one, const Jobs<RampJob>& jobs) {
    uint32 block;
    const RampJob& job = find_job(one, jobs, block);
    pointwise<In, Out>(job, block, [&job](int32 k) { return F<Compute<In, Out>>(job.ramp[k]); });
}
