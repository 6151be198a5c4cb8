// Chunks of the voxels inside a mask, one for a block: x of its own type and any layout, the mask of any type.
#pragma once
#include "common.cuh"
#include "packs.cuh"

constexpr int CHUNK_THREADS = 256;

struct MaskedJob {
    const void* x;
    void* out;
    const void* mask;  // null where everything is inside
    int64 size;
    int64 shape[3];
    int64 strides[3];
    int64 mask_strides[3];
    int32 flat;  // x, and a mask that is there, are contiguous
    int32 mask_width;  // bytes of an element
    int32 mask_floats;
    int32 padding;
};

// Volumes one after the other, each of as many blocks.
struct BatchJob {
    MaskedJob one;  // the first of them
    int64 step, mask_step;  // elements from a volume to the next
    int64 chunks;  // blocks of a volume
    int32 packed;  // flat, and so placed that 16 bytes of x, and the marks of as many voxels, can be moved as words
    int32 padding;
};

// Whether an element of a mask is not zero, whichever zero.
__device__ __forceinline__ bool is_inside(const MaskedJob& job, const void* mask, int64 at) {
    if (mask == nullptr) return true;
    uint64 word, sign = uint64(job.mask_floats) << (8 * job.mask_width - 1);
    if (job.mask_width == 1) word = static_cast<const uint8*>(mask)[at];
    else if (job.mask_width == 2) word = static_cast<const uint16*>(mask)[at];
    else if (job.mask_width == 4) word = static_cast<const uint32*>(mask)[at];
    else word = static_cast<const uint64*>(mask)[at];
    return (word & ~sign) != 0;
}
__device__ __forceinline__ bool is_inside(const MaskedJob& job, int64 at) { return is_inside(job, job.mask, at); }

// Voxel i in C order: true, with its value, when it is there and inside. The steps are those of other volumes.
template <class T>
__device__ __forceinline__ bool load_inside(const MaskedJob& job, int64 step, int64 mask_step, int64 i, T& value) {
    if (i >= job.size) return false;
    int64 from = i, at = i;
    if (!job.flat) {
        const int64 row = i / job.shape[2], x = i % job.shape[2], z = row / job.shape[1], y = row % job.shape[1];
        from = z * job.strides[0] + y * job.strides[1] + x * job.strides[2];
        at = z * job.mask_strides[0] + y * job.mask_strides[1] + x * job.mask_strides[2];
    }
    value = static_cast<const T*>(job.x)[from + step];
    return is_inside(job, at + mask_step);
}
template <class T>
__device__ __forceinline__ bool load_inside(const MaskedJob& job, int64 i, T& value) {
    return load_inside(job, 0, 0, i, value);
}

// ``visit`` sees the value of every voxel inside of one chunk of a volume; a thread has VOXELS of them, neighbours
// where they are packed, in words of 16 bytes of which AT_ONCE are on their way at once.
template <class T, int VOXELS, int AT_ONCE, class Visit>
__device__ __forceinline__ void each_inside(const BatchJob& job, int64 volume, int64 chunk, Visit& visit) {
    constexpr int PACK = 16 / sizeof(T);
    static_assert(VOXELS % (PACK * AT_ONCE) == 0, "whole packs");
    const int64 first = chunk * CHUNK_THREADS * VOXELS, step = volume * job.step, mask_step = volume * job.mask_step;
    if (job.packed && first + CHUNK_THREADS * VOXELS <= job.one.size) {
        const int64 mine = first + threadIdx.x * PACK;
        const T* const x = static_cast<const T*>(job.one.x) + step + mine;
        const uint8* const marks = static_cast<const uint8*>(job.one.mask);
#pragma unroll 1
        for (int32 j = 0; j < VOXELS; j += PACK * AT_ONCE) {
            Pack<T, PACK> some[AT_ONCE];
            Pack<uint8, PACK> inside[AT_ONCE];
#pragma unroll
            for (int k = 0; k < AT_ONCE; k++) some[k].load(x + (j + k * PACK) * CHUNK_THREADS);
#pragma unroll
            for (int k = 0; k < AT_ONCE; k++) {
                if (marks != nullptr) inside[k].load(marks + mask_step + mine + (j + k * PACK) * CHUNK_THREADS);
                else memset(inside[k].v, 1, sizeof(inside[k].v));
            }
#pragma unroll
            for (int k = 0; k < AT_ONCE; k++)
#pragma unroll
                for (int i = 0; i < PACK; i++)
                    if (inside[k].v[i] != 0) visit(some[k].v[i]);
        }
        return;
    }
    for (int32 j = 0; j < VOXELS; j++) {
        T value;
        if (load_inside(job.one, step, mask_step, first + j * CHUNK_THREADS + threadIdx.x, value)) visit(value);
    }
}
