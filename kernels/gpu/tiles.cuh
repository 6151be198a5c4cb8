// What counting and blending of tiles share: the bins of values, and a walk over the voxels of a box.
//
// Bins and how far values fill them are computed as on the CPU, so they have its bits.
#pragma once
#include "numbers.cuh"

// Of whole numbers: one in each bin; several, in 32 bits; in 64. Of real ones.
constexpr int32 BINS_EACH = 0, BINS_NARROW = 1, BINS_WIDE = 2, BINS_REAL = 3;

struct BinsJob {
    int64 least, most;  // whole numbers from the first bin's to the last one's
    int64 width;  // how many they are
    float64 low, scale;  // where the first bin begins, bins for a step of one
    float32 span, inverse;  // width, and a little less than one over it
    int32 bins;
    int32 kind;
    int32 type;  // of the values
    int32 padding;
};

struct Binned {
    int32 index;  // -1 of what is not finite
    float32 filled;  // the part of the bin up to the value
};

__device__ __forceinline__ Binned bin_of(const BinsJob& job, int64 value) {
    if (job.kind == BINS_WIDE) {
        // A uint64 beyond the largest int64 is above all ranges.
        int64 v = value < 0 && job.type == 7 ? job.most : value;
        v = v < job.most ? v : job.most;
        const int64 steps = v > job.least ? v - job.least : 0;
        const int64 scaled = steps * job.bins, index = scaled / job.width, filled = scaled - index * job.width + job.bins;
        return {int32(index), float32(filled < job.width ? filled : job.width) / job.span};
    }
    // A type that fits int32, as the range does.
    const int32 least = int32(job.least), most = int32(job.most);
    int32 v = int32(value);
    v = v < most ? v : most;
    const int32 steps = v > least ? v - least : 0;
    if (job.kind == BINS_EACH) return {steps, 1.0f};
    // By such an inverse a quotient is at most one too small.
    const int32 width = int32(job.width);
    const uint32 scaled = uint32(steps) * uint32(job.bins);
    int32 index = int32(float32(scaled) * job.inverse);
    int32 rest = int32(scaled - uint32(index) * uint32(width));
    if (rest >= width) {
        index++;
        rest -= width;
    }
    const int32 filled = rest + job.bins;
    return {index, float32(filled < width ? filled : width) / job.span};
}

__device__ __forceinline__ Binned bin_of(const BinsJob& job, float64 value) {
    if (!(fabs(value) <= 1.7976931348623157e308)) return {-1, 0.0f};
    float64 at = (value - job.low) * job.scale;
    at = at > 0 ? at : 0;
    at = at < job.bins ? at : job.bins;
    const int32 floor = int32(at), index = floor < job.bins ? floor : job.bins - 1;
    return {index, float32(at - index)};
}

constexpr int TILE_ROWS = 4;

// Columns of TILE_ROWS rows of a box in C order, every one of so many from a first one on. What neighbouring lanes read
// lies side by side whatever the alignment of rows, and what does not depend on y is found once for all of them.
struct Columns {
    int32 z, y, x;  // of the first row
    int32 dz, dy, dx;
    int32 ny, nx;

    __device__ __forceinline__ Columns(int32 first, int32 step, int32 rows, int32 width)
        : ny((rows + TILE_ROWS - 1) / TILE_ROWS * TILE_ROWS), nx(width) {
        const int32 groups = ny / TILE_ROWS;
        x = first % nx;
        y = first / nx % groups * TILE_ROWS;
        z = first / nx / groups;
        dx = step % nx;
        dy = step / nx % groups * TILE_ROWS;
        dz = step / nx / groups;
    }
    __device__ __forceinline__ void next() {
        x += dx;
        y += dy;
        z += dz;
        if (x >= nx) {
            x -= nx;
            y += TILE_ROWS;
        }
        if (y >= ny) {
            y -= ny;
            z++;
        }
    }
};
