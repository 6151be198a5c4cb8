// out = low + the blend of what the tables of the nearest 2^n tiles make of x
//
// Bytes: x and out once, and a byte of the mask a voxel, and the tables from the caches. A block has a part of
// a cell, the voxels between the centres of the same tiles: their tables lie side by side in shared memory, so that one
// read of 16 bytes is an entry of four. Where they do not fit, or cells are small, a cell is the whole volume, and
// tables are read where they are. The operations and their order are those of the CPU, so the result has its bits.
#include "packs.cuh"
#include "tiles.cuh"

constexpr int BLEND_THREADS = 256;
constexpr uint32 EVERY_LANE = 0xffffffffu;

struct BlendJob {
    const void* x;
    void* out;
    const uint8* mask;  // null where everything is inside
    const float32* tables;
    const int32* counts;  // voxels of each tile
    const int32* starts[3];  // of the cells along each axis, and the end
    int64 strides[4], to[4], mask_strides[4];  // of x, out and mask, in bytes
    BinsJob bins;
    float32 inverse[3];  // of the size of a tile
    int32 shape[3], tiles[3], origin[3], cells[3];
    int32 plays[3];  // whether tables are blended along the axis
    int32 parts;  // blocks of a cell
    int32 columns;  // of each
    int32 type;  // of out
    int32 width;  // bytes of a number of x and out, where they are of one type, else 0
    int32 narrow;  // bytes of a whole number of out, where int32 is wide enough to compute it, else 0
    int32 lowest, highest;  // of them
    int32 padding;
};

// Between which two tiles of an axis a place lies, and their weights.
struct Side {
    int32 tile[2];
    float32 weight[2];

    __device__ __forceinline__ Side(const BlendJob& job, int32 axis, int32 place) {
        const float32 at = float32(place + job.origin[axis]) * job.inverse[axis] - 0.5f, below = floorf(at);
        const int32 first = int32(below), last = job.tiles[axis] - 1;
        tile[0] = first > 0 ? first : 0;
        tile[1] = first < last ? first + 1 : last;
        weight[1] = job.plays[axis] ? at - below : 0.0f;
        weight[0] = 1.0f - weight[1];
    }
};

// Tables of the tiles around a voxel or a cell, the last axis the fastest; of four of them where none are blended along z.
template <int N>
struct Around {
    int32 tile[N];
    uint32 there;  // bits of those that have voxels

    __device__ __forceinline__ Around(const BlendJob& job, int64 volume, const Side& z, const Side& y, const Side& x) {
        there = 0;
#pragma unroll
        for (int i = 0; i < N; i++) {
            const int32 plane = int32(volume) * job.tiles[0] + z.tile[i / 4];
            tile[i] = (plane * job.tiles[1] + y.tile[i / 2 % 2]) * job.tiles[2] + x.tile[i % 2];
            there |= uint32(job.counts[tile[i]] > 0) << i;
        }
    }
};

// Never below 0 but where no table weighs anything.
template <int N>
__device__ __forceinline__ float32 blended(const float32* v, uint32 there, const Side& z, const Side& y, const Side& x) {
    if (there == (1u << N) - 1) {
        float32 planes[2];
#pragma unroll
        for (int i = 0; i < N / 4; i++) {
            const float32 upper = v[4 * i] * x.weight[0] + v[4 * i + 1] * x.weight[1];
            const float32 lower = v[4 * i + 2] * x.weight[0] + v[4 * i + 3] * x.weight[1];
            planes[i] = upper * y.weight[0] + lower * y.weight[1];
        }
        return N == 4 ? planes[0] : planes[0] * z.weight[0] + planes[N / 4 - 1] * z.weight[1];
    }
    float32 total = 0, weights = 0;
#pragma unroll
    for (int i = 0; i < N; i++) {
        const float32 plane = N == 4 ? 1.0f : z.weight[i / 4];
        const float32 weight = plane * y.weight[i / 2 % 2] * x.weight[i % 2];
        total += there >> i & 1 ? weight * v[i] : 0.0f;
        weights += there >> i & 1 ? weight : 0.0f;
    }
    return weights > 0 ? total / weights : -1.0f;
}

// What the tables say, read where they lie side by side; between two entries on the line.
template <int N>
__device__ __forceinline__ void look_up(const float32* top, const Binned& bin, bool each, float32* v) {
#pragma unroll
    for (int i = 0; i < N; i += 4) {
        Pack<float32, 4> entry, below{};
        entry.load(top + i);
        if (!each && bin.index > 0) below.load(top - N + i);
#pragma unroll
        for (int j = 0; j < 4; j++)
            v[i + j] = each ? entry.v[j] : below.v[j] + (entry.v[j] - below.v[j]) * bin.filled;
    }
}

// The same where they are; which of them are there.
template <int N>
__device__ __forceinline__ uint32 look_up(const BlendJob& job, const Around<N>& around, const Binned& bin, bool each,
                                          float32* v) {
#pragma unroll
    for (int i = 0; i < N; i++) {
        const float32* const top = job.tables + int64(around.tile[i]) * job.bins.bins + bin.index;
        const float32 below = !each && bin.index > 0 ? top[-1] : 0.0f;
        v[i] = each ? top[0] : below + (top[0] - below) * bin.filled;
    }
    return around.there;
}

__device__ __forceinline__ int64 offset_of(const int32* place, const int64* strides) {
    return place[0] * strides[0] + place[1] * strides[1] + place[2] * strides[2];
}

// The block's part of a cell.
template <class V, int N, bool SHARED>
__device__ __forceinline__ void blend_cell(const BlendJob& job, int64 volume, const int32* first, const int32* shape,
                                           int32 part, float32* words) {
    const int32 bins = job.bins.bins;
    const Side corner[3] = {{job, 0, first[0]}, {job, 1, first[1]}, {job, 2, first[2]}};
    const Around<N> cell(job, volume, corner[0], corner[1], corner[2]);
    if (SHARED) {
#pragma unroll
        for (int i = 0; i < N; i++) {
            const float32* const table = job.tables + int64(cell.tile[i]) * bins;
            for (int32 k = threadIdx.x; k < bins; k += BLEND_THREADS) words[k * N + i] = table[k];
        }
        __syncthreads();
    }
    // By way of another lane, so that the compiler does not make it anew for every voxel.
    const uint32 all_there = __shfl_sync(EVERY_LANE, cell.there, 0);
    const int32 groups = (shape[1] + TILE_ROWS - 1) / TILE_ROWS;
    const int64 size = int64(shape[0]) * groups * shape[2], begin = int64(part) * job.columns;
    const int64 left = size - begin;
    const int32 count = int32(left < job.columns ? left : job.columns);
    const int64 from = volume * job.strides[0] + offset_of(first, job.strides + 1);
    const int64 marks = volume * job.mask_strides[0] + offset_of(first, job.mask_strides + 1);
    const int64 to = volume * job.to[0] + offset_of(first, job.to + 1);
    const bool each = job.bins.bins == job.bins.width;
    Columns at(begin + threadIdx.x, BLEND_THREADS, shape[1], shape[2]);
    for (int32 i = threadIdx.x; i < count; i += BLEND_THREADS, at.next()) {
        const int32 here[3] = {at.z, at.y, at.x}, rows = shape[1] - at.y;
        const char* const voxels = place(job.x, from + offset_of(here, job.strides + 1));
        char* const results = place(job.out, to + offset_of(here, job.to + 1));
        V values[TILE_ROWS];
        load_some<TILE_ROWS>(job.bins.type, voxels, job.strides[2], rows, values);
        uint32 inside = (1u << TILE_ROWS) - 1;
        if (job.mask != nullptr) {
            const uint8* const mark = job.mask + marks + offset_of(here, job.mask_strides + 1);
#pragma unroll
            for (int k = 0; k < TILE_ROWS; k++)
                if (k < rows && mark[k * job.mask_strides[2]] == 0) inside &= ~(1u << k);
        }
        const Side z(job, 0, first[0] + at.z), x(job, 2, first[2] + at.x);
#pragma unroll
        for (int k = 0; k < TILE_ROWS; k++) {
            if (k >= rows) break;
            char* const result = results + k * job.to[2];
            const Binned bin = bin_of(job.bins, values[k]);
            const Side y(job, 1, first[1] + at.y + k);
            uint32 there = 0;
            float32 v[N];
            if ((inside >> k & 1) && bin.index >= 0) {
                there = all_there;
                if (SHARED) look_up<N>(words + bin.index * N, bin, each, v);
                else there = look_up<N>(job, Around<N>(job, volume, z, y, x), bin, each, v);
            }
            const float32 blend = there != 0 ? blended<N>(v, there, z, y, x) : -1.0f;
            if (blend < 0) {
                if (job.width > 0) store_bits(job.width, result, load_bits(job.width, voxels + k * job.strides[2]));
                else store_real(job.type, result, float64(values[k]));
                continue;
            }
            if (job.narrow > 0) {
                // low is even: what is added to it is rounded as the sum would be.
                int32 level = int32(job.bins.least) + int32(round_even(blend));
                level = level > job.lowest ? level : job.lowest;
                level = level < job.highest ? level : job.highest;
                if (job.narrow == 1) *reinterpret_cast<uint8*>(result) = uint8(level);
                else *reinterpret_cast<uint16*>(result) = uint16(level);
            } else {
                store_real(job.type, result, job.bins.low + float64(blend));
            }
        }
    }
}

// V is how values are read.
template <class V, int N, bool SHARED>
__global__ void __launch_bounds__(BLEND_THREADS, SHARED ? 3 : 2)
tile_blend(const __grid_constant__ BlendJob job) {
    DYNAMIC_SHARED(float32, words);
    const int32 part = int32(blockIdx.x % job.parts);
    int64 rest = blockIdx.x / job.parts;
    int32 first[3], shape[3];
    for (int axis = 2; axis >= 0; axis--) {
        const int32 cell = int32(rest % job.cells[axis]);
        rest /= job.cells[axis];
        first[axis] = job.starts[axis][cell];
        shape[axis] = job.starts[axis][cell + 1] - first[axis];
    }
    if (int64(part) * job.columns >= int64(shape[0]) * ((shape[1] + TILE_ROWS - 1) / TILE_ROWS) * shape[2]) return;
    blend_cell<V, N, SHARED>(job, rest, first, shape, part, words);
}
