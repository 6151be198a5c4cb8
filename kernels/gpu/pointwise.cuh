// One read, one write per channel: out[k] = f_k(x), voxel by voxel, for any f.
//
// Bytes: sizeof(In) + channels * sizeof(Out) a voxel; the floor is those over the memory's bandwidth. Contiguous
// volumes move in 16-byte words, several on their way at once; any other layout is read where it lies.
#pragma once
#include "common.cuh"

// Two blocks on a multiprocessor at least, said to the compiler so that it does not spill for the sake of more.
constexpr int POINTWISE_THREADS = 256;
// Words of 16 bytes of input that a thread has on their way at once.
constexpr int POINTWISE_WORDS = 4;

struct PointwiseJob {
    const void* x;
    void* out;
    int64 size;
    int64 step;  // elements of one channel of the output
    int64 shape[3];  // the last three axes of x when it is not contiguous
    int64 strides[4];
    int32 flat;  // x is contiguous
    int32 aligned;  // and so placed that words of 16 bytes can be moved
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

// f_k of a word of input, as one word of results or several.
template <class F, class C, class In, class Out, int N>
__device__ __forceinline__ void pointwise_pack(const PointwiseJob& job, const Pack<In, N>& pack, Out* out) {
    constexpr int MOST = 16 / sizeof(Out), RESULTS = MOST < N ? MOST : N;
    for (int k = 0; k < job.channels; k++) {
        const F f(job.ramp[k]);
        Out* const target = out + k * job.step;
#pragma unroll
        for (int i = 0; i < N; i += RESULTS) {
            Pack<Out, RESULTS> results;
#pragma unroll
            for (int j = 0; j < RESULTS; j++) results.v[j] = Cast<Out>::of(f(number<C>(pack.v[i + j])));
            results.store(target + i);
        }
    }
}

template <template <class> class F, class In, class Out>
__device__ __forceinline__ void pointwise(const PointwiseJob& one, const Jobs<PointwiseJob>& jobs) {
    using C = Compute<In, Out>;
    uint32 block;
    const PointwiseJob& job = find_job(one, jobs, block);
    const In* const x = static_cast<const In*>(job.x);
    Out* const out = static_cast<Out*>(job.out);
    constexpr int PACK = 16 / sizeof(In);
    constexpr int64 CHUNK = int64(POINTWISE_THREADS) * PACK * POINTWISE_WORDS;
    const int64 begin = block * CHUNK, end = begin + CHUNK < job.size ? begin + CHUNK : job.size;

    if (job.aligned && end - begin == CHUNK) {
        Pack<In, PACK> packs[POINTWISE_WORDS];
#pragma unroll
        for (int i = 0; i < POINTWISE_WORDS; i++) {
            packs[i].load(x + begin + (int64(i) * POINTWISE_THREADS + threadIdx.x) * PACK);
        }
#pragma unroll
        for (int i = 0; i < POINTWISE_WORDS; i++) {
            const int64 at = begin + (int64(i) * POINTWISE_THREADS + threadIdx.x) * PACK;
            pointwise_pack<F<C>, C>(job, packs[i], out + at);
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
        for (int k = 0; k < job.channels; k++) out[at + k * job.step] = Cast<Out>::of(F<C>(job.ramp[k])(value));
    }
}
