// One read, one write per channel: out[k] = f_k(x), voxel by voxel, for any f.
//
// Bytes: sizeof(In) + channels * sizeof(Out) a voxel; the floor is those over the memory's bandwidth. Contiguous
// volumes move in words of up to 16 bytes, several on their way at once; any other layout is read where it lies.
#pragma once
#include "common.cuh"

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
    float64 ramp[Channels::MOST][4];
};

// N numbers that move as one word of N * sizeof(T) bytes.
template <int BYTES>
struct Word;
template <>
struct Word<1> { uint8 a; };
template <>
struct Word<2> { uint16 a; };
template <>
struct Word<4> { uint32 a; };
template <>
struct alignas(8) Word<8> { uint32 a, b; };
template <>
struct alignas(16) Word<16> { uint32 a, b, c, d; };

template <class T, int N>
struct Pack {
    using Moved = Word<N * sizeof(T)>;
    T v[N];

    __device__ __forceinline__ void load(const T* from) {
        const Moved word = *reinterpret_cast<const Moved*>(from);
        memcpy(v, &word, sizeof(word));
    }
    __device__ __forceinline__ void store(T* to) const {
        Moved word;
        memcpy(&word, v, sizeof(word));
        *reinterpret_cast<Moved*>(to) = word;
    }
};

template <template <class> class F, class In, class Out>
__device__ __forceinline__ void pointwise(const PointwiseJob& one, const Jobs<PointwiseJob>& jobs) {
    using C = Compute<In, Out>;
    uint32 block;
    const PointwiseJob& job = find_job(one, jobs, block);
    const In* const x = static_cast<const In*>(job.x);
    Out* const out = static_cast<Out*>(job.out);
    const int64 step = job.step;
    const int32 channels = job.channels;
    // As many as make 16 bytes of the wider type: then neighbouring threads touch neighbouring words on both sides.
    constexpr int PACK = 16 / (sizeof(In) > sizeof(Out) ? sizeof(In) : sizeof(Out));
    constexpr int PACKS = POINTWISE_VOXELS<C> / PACK;
    constexpr int64 CHUNK = int64(POINTWISE_THREADS) * POINTWISE_VOXELS<C>;
    const int64 begin = block * CHUNK, end = begin + CHUNK < job.size ? begin + CHUNK : job.size;

    if (job.aligned && end - begin == CHUNK) {
        const int64 mine = begin + threadIdx.x * PACK;
        constexpr int64 NEXT = POINTWISE_THREADS * PACK;
        Pack<In, PACK> packs[PACKS];
#pragma unroll
        for (int i = 0; i < PACKS; i++) packs[i].load(x + mine + i * NEXT);
#pragma unroll 1
        for (int k = 0; k < channels; k++) {
            const F<C> f(job.ramp[k]);
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
        for (int k = 0; k < channels; k++) out[at + k * step] = Cast<Out>::of(F<C>(job.ramp[k])(value));
    }
}
