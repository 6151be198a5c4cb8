// out = clip(a x + b, lo, hi) inside a mask; outside it one value, or x
//
// Bytes: sizeof(In) + sizeof(Out) + 1 of the mask a voxel. Contiguous volumes move in words of up to 16 bytes, several
// on their way at once; any other layout is read where it lies.
#include "chunks.cuh"
#include "pointwise.cuh"

struct MaskedRampJob {
    MaskedJob voxels;
    float64 ramp[4];
    float64 outside;
    int32 keep;     // x itself outside
    int32 aligned;  // all are flat, and so placed that packs can be moved as words
};

template <class In, class Out>
__global__ void __launch_bounds__(CHUNK_THREADS, 2)
masked_ramp(const __grid_constant__ MaskedRampJob one, const Jobs<MaskedRampJob> jobs) {
    using C = Compute<In, Out>;
    uint32 block;
    const MaskedRampJob& job = find_job(one, jobs, block);
    const In* const x = static_cast<const In*>(job.voxels.x);
    const uint8* const marks = static_cast<const uint8*>(job.voxels.mask);
    Out* const out = static_cast<Out*>(job.voxels.out);
    const Ramp<C> ramp(job.ramp);
    const C outside = C(job.outside);
    const bool keep = job.keep;
    constexpr int VOXELS = POINTWISE_VOXELS<C> / 2;
    constexpr int PACK = 16 / (sizeof(In) > sizeof(Out) ? sizeof(In) : sizeof(Out));
    constexpr int PACKS = VOXELS / PACK;
    constexpr int64 CHUNK = int64(CHUNK_THREADS) * VOXELS;
    const int64 size = job.voxels.size, begin = block * CHUNK, end = begin + CHUNK < size ? begin + CHUNK : size;

    if (job.aligned && end - begin == CHUNK) {
        const int64 mine = begin + threadIdx.x * PACK;
        constexpr int64 NEXT = CHUNK_THREADS * PACK;
        Pack<In, PACK> packs[PACKS];
        Pack<uint8, PACK> inside[PACKS];
#pragma unroll
        for (int i = 0; i < PACKS; i++) packs[i].load(x + mine + i * NEXT);
#pragma unroll
        for (int i = 0; i < PACKS; i++) inside[i].load(marks + mine + i * NEXT);
#pragma unroll
        for (int i = 0; i < PACKS; i++) {
            Pack<Out, PACK> results;
#pragma unroll
            for (int j = 0; j < PACK; j++) {
                const C value = number<C>(packs[i].v[j]), rest = keep ? value : outside;
                results.v[j] = Cast<Out>::of(inside[i].v[j] != 0 ? ramp(value) : rest);
            }
            results.store(out + mine + i * NEXT);
        }
        return;
    }
    for (int64 at = begin + threadIdx.x; at < end; at += CHUNK_THREADS) {
        In given;
        const bool inside = load_inside(job.voxels, at, given);
        const C value = number<C>(given), rest = keep ? value : outside;
        out[at] = Cast<Out>::of(inside ? ramp(value) : rest);
    }
}
