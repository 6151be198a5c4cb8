// Chunks of the voxels inside a mask, one for a block: x of its own type and any layout, the mask of any type.
#pragma once
#include "common.cuh"

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

// Whether an element of a mask is not zero, whichever zero.
__device__ __forceinline__ bool is_inside(const MaskedJob& job, int64 at) {
    if (job.mask == nullptr) return true;
    uint64 word, sign = uint64(job.mask_floats) << (8 * job.mask_width - 1);
    if (job.mask_width == 1) word = static_cast<const uint8*>(job.mask)[at];
    else if (job.mask_width == 2) word = static_cast<const uint16*>(job.mask)[at];
    else if (job.mask_width == 4) word = static_cast<const uint32*>(job.mask)[at];
    else word = static_cast<const uint64*>(job.mask)[at];
    return (word & ~sign) != 0;
}

// Voxel i in C order: true, with its value, when it is there and inside.
template <class T>
__device__ __forceinline__ bool load_inside(const MaskedJob& job, int64 i, T& value) {
    if (i >= job.size) return false;
    int64 from = i, at = i;
    if (!job.flat) {
        const int64 row = i / job.shape[2], x = i % job.shape[2], z = row / job.shape[1], y = row % job.shape[1];
        from = z * job.strides[0] + y * job.strides[1] + x * job.strides[2];
        at = z * job.mask_strides[0] + y * job.mask_strides[1] + x * job.mask_strides[2];
    }
    value = static_cast<const T*>(job.x)[from];
    return is_inside(job, at);
}
