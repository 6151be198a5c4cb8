// out[b, z, y, x] = x[b, iz[z], iy[y], ix[x]]; where an index is -1, the fill. Bits move as words of their width.
//
// Bytes: every voxel of the box read once, every result written once. A warp copies one row, several words on their way;
// where neighbours in x are far apart in the input, tiles are turned on chip, so that both sides are read and written
// in whole lines.
#include "common.cuh"

constexpr int TAKE_ROWS = 8;
constexpr int TAKE_STEPS = 4;

struct TakeJob {
    const void* x;
    void* out;
    const int32* index[3];
    int64 strides[4];
    int64 rows;  // of the output, over b, z and y
    int32 shape[3];
    int32 columns;  // blocks along a row
    int32 near;  // the axis (0 is z, 1 is y) whose neighbours are neighbours in the input, where tiles are turned
    int32 tiles;  // along it
    uint64 fill;
};

template <class Word>
__global__ void __launch_bounds__(32 * TAKE_ROWS)
take(const __grid_constant__ TakeJob one, const Jobs<TakeJob> jobs) {
    uint32 block;
    const TakeJob& job = find_job(one, jobs, block);
    const int64 row = int64(block / job.columns) * TAKE_ROWS + threadIdx.x / 32;
    if (row >= job.rows) return;
    const int32 depth = job.shape[0], height = job.shape[1], width = job.shape[2];
    const int32 z = int32(row / height % depth), y = int32(row % height);
    const int32 iz = job.index[0][z], iy = job.index[1][y];
    const Word fill = Word(job.fill);
    const Word* const source =
        static_cast<const Word*>(job.x) + row / height / depth * job.strides[0] + iz * job.strides[1] + iy * job.strides[2];
    Word* const target = static_cast<Word*>(job.out) + row * width;
    const int32 first = int32(block % job.columns) * (32 * TAKE_STEPS) + threadIdx.x % 32;
    const bool filled = iz < 0 || iy < 0;
#pragma unroll
    for (int i = 0; i < TAKE_STEPS; i++) {
        const int32 x = first + 32 * i;
        if (x >= width) return;
        const int32 ix = job.index[2][x];
        target[x] = filled || ix < 0 ? fill : source[ix * job.strides[3]];
    }
}

constexpr int TILE = 32;

template <class Word>
__global__ void __launch_bounds__(32 * TAKE_ROWS)
take_turned(const __grid_constant__ TakeJob one, const Jobs<TakeJob> jobs) {
    __shared__ Word tile[TILE][TILE + 1];
    uint32 block;
    const TakeJob& job = find_job(one, jobs, block);
    const int32 near = job.near, far = 1 - near, width = job.shape[2], length = job.shape[near];
    const int32 x0 = int32(block % job.columns) * TILE;
    block /= job.columns;
    const int32 a0 = int32(block % job.tiles) * TILE;
    block /= job.tiles;
    const int32 o = int32(block % job.shape[far]);
    const int64 b = block / job.shape[far];
    const int32 io = job.index[far][o], lane = threadIdx.x % 32, warp = threadIdx.x / 32;
    const Word fill = Word(job.fill);
    const Word* const source = static_cast<const Word*>(job.x) + b * job.strides[0] + io * job.strides[1 + far];
    const int32 ia = a0 + lane < length ? job.index[near][a0 + lane] : -1;
#pragma unroll
    for (int i = warp; i < TILE; i += TAKE_ROWS) {
        const int32 ix = x0 + i < width ? job.index[2][x0 + i] : -1;
        tile[i][lane] = io < 0 || ia < 0 || ix < 0 ? fill : source[ia * job.strides[1 + near] + ix * job.strides[3]];
    }
    __syncthreads();
    const int64 line = width, plane = line * job.shape[1];
    Word* const target = static_cast<Word*>(job.out) + b * plane * job.shape[0] + (near == 0 ? o * line : o * plane) + x0;
    const int64 next = near == 0 ? plane : line;
#pragma unroll
    for (int i = warp; i < TILE; i += TAKE_ROWS) {
        if (a0 + i < length && x0 + lane < width) target[(a0 + i) * next + lane] = tile[lane][i];
    }
}
