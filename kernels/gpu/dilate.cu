// Masks grown, or shrunk, by a ball: a thread has 64 voxels of a row as one word
//
// Bytes: the mask once, the result once, and in between a quarter byte a voxel. What a row of the ball gives to a word
// is known from the row's own word and the nearest voxels that are set before and after it; words of that row are put
// together for all rows of the ball, those that reach h voxels h steps before the end, each step a voxel to either side.
#include "common.cuh"

constexpr int DILATE_THREADS = 256;
constexpr int DILATE_ROWS = DILATE_THREADS / 32;
constexpr int32 FAR = 1 << 30;
constexpr uint64 ALL_SET = ~uint64(0);

struct __align__(16) Word {
    uint64 bits;
    int32 before, after;  // x of the last voxel set before this word, and of the first after it
};

// A row of the ball.
struct __align__(16) Offset {
    int32 z, y, width, padding;
};

struct DilateJob {
    const uint8* mask;
    uint8* out;
    Word* words;
    const Offset* offsets;  // the longest first
    int64 strides[4];
    int64 rows;
    int32 shape[4];
    int32 reach[3];  // how far what is beyond the volume comes in
    int32 count, row_words, complement;
};

// A warp has a row.
__global__ void __launch_bounds__(DILATE_THREADS)
dilate_words(const __grid_constant__ DilateJob job) {
    const int64 row = int64(blockIdx.x) * DILATE_ROWS + threadIdx.x / 32;
    if (row >= job.rows) return;
    const int32 lane = threadIdx.x % 32, nx = job.shape[3];
    const int32 y = int32(row % job.shape[2]), z = int32(row / job.shape[2] % job.shape[1]);
    const int64 b = row / job.shape[2] / job.shape[1];
    const uint8* const x = job.mask + b * job.strides[0] + z * job.strides[1] + y * job.strides[2];
    Word* const words = job.words + row * job.row_words;
    int32 last = -FAR;
    for (int32 w = 0; w < job.row_words; w++) {
        uint64 bits = 0;
#pragma unroll
        for (int32 half = 0; half < 2; half++) {
            const int32 i = 64 * w + 32 * half + lane;
            const bool set = i < nx && (x[i * job.strides[3]] != 0) != (job.complement != 0);
            bits |= uint64(__ballot_sync(0xffffffffu, set)) << (32 * half);
        }
        if (lane == 0) {
            words[w].bits = bits;
            words[w].before = last;
        }
        if (bits != 0) last = 64 * w + 63 - __clzll(int64(bits));
    }
    if (lane != 0) return;
    int32 next = FAR;
    for (int32 w = job.row_words - 1; w >= 0; w--) {
        words[w].after = next;
        const uint64 bits = words[w].bits;
        if (bits != 0) next = 64 * w + __ffsll(int64(bits)) - 1;
    }
}

// A word whose lowest ``count`` bits are set, from none to all.
__device__ __forceinline__ uint64 lowest(int32 count) {
    return count >= 64 ? ALL_SET : (uint64(1) << (count < 0 ? 0 : count)) - 1;
}

// Four bits as bytes of 0 and 1.
__device__ __forceinline__ uint32 bytes_of(uint32 bits) { return ((bits & 15u) * 0x00204081u) & 0x01010101u; }

__global__ void __launch_bounds__(DILATE_THREADS)
dilate_rows(const __grid_constant__ DilateJob job) {
    const int64 i = int64(blockIdx.x) * DILATE_THREADS + threadIdx.x;
    if (i >= job.rows * job.row_words) return;
    const int64 row = i / job.row_words;
    const int32 w = int32(i % job.row_words), first = 64 * w, nx = job.shape[3];
    const int32 ny = job.shape[2], nz = job.shape[1];
    const int32 y = int32(row % ny), z = int32(row / ny % nz);
    uint64 some = 0;
    int32 left = -FAR, right = FAR, width = job.offsets[0].width;
    if (z < job.reach[0] || z >= nz - job.reach[0] || y < job.reach[1] || y >= ny - job.reach[1]) some = ALL_SET;
    for (int32 k = 0; k < job.count && some != ALL_SET; k++) {
        const Offset at = job.offsets[k];
        for (; width > at.width; width--) some |= some << 1 | some >> 1;
        if (z + at.z < 0 || z + at.z >= nz || y + at.y < 0 || y + at.y >= ny) continue;
        const Word there = job.words[i + (int64(at.z) * ny + at.y) * job.row_words];
        some |= there.bits;
        left = max(left, there.before + at.width);
        right = min(right, there.after - at.width);
    }
    for (; width > 0 && some != 0 && some != ALL_SET; width--) some |= some << 1 | some >> 1;
    some |= lowest(max(left, job.reach[2] - 1) - first + 1);
    some |= ~lowest(min(right, nx - job.reach[2]) - first);
    if (job.complement) some = ~some;
    uint8* const out = job.out + row * nx + first;
    if (nx % 4 == 0 && reinterpret_cast<uint64>(job.out) % 4 == 0) {
        for (int32 j = 0; j < 64 && first + j < nx; j += 4)
            *reinterpret_cast<uint32*>(out + j) = bytes_of(uint32(some >> j));
    } else {
        for (int32 j = 0; j < 64 && first + j < nx; j++) out[j] = uint8(some >> j & 1);
    }
}
