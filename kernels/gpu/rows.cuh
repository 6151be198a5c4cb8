// What blocks of CHUNK_THREADS found, put together in a fixed order; a row has ``take(row)`` and ``below(lanes)``.
#pragma once
#include "chunks.cuh"

struct MergeJob {
    const void* rows;
    void* out;
    int64 count;  // rows of a volume
};

// All threads' rows as one, which thread 0 writes.
template <class R>
__device__ __forceinline__ void gather(R mine, void* rows, uint32 at) {
    __shared__ R warps[CHUNK_THREADS / 32];
    for (int32 lanes = 16; lanes > 0; lanes /= 2) mine.take(mine.below(lanes));
    if (threadIdx.x % 32 == 0) warps[threadIdx.x / 32] = mine;
    __syncthreads();
    if (threadIdx.x != 0) return;
    for (int32 w = 1; w < CHUNK_THREADS / 32; w++) mine.take(warps[w]);
    static_cast<R*>(rows)[at] = mine;
}

// The rows of one volume after ``none`` as one, by one block.
template <class R>
__device__ __forceinline__ void gather_rows(R none, const MergeJob& job, uint32 volume) {
    const R* const rows = static_cast<const R*>(job.rows) + volume * job.count;
    for (int64 i = threadIdx.x; i < job.count; i += CHUNK_THREADS) none.take(rows[i]);
    gather(none, job.out, volume);
}
