// Of every tile a histogram, its peaks cut and shared out, and the sums of it: grey levels
//
// Bytes: each voxel once, the tables written, read and written; the floor is those over the memory's bandwidth. A block
// counts a part of a tile in shared memory, in several copies where bins are few; a thread adds the run of voxels that
// fall into one bin, as background does, at once.
#include "mirror.cuh"
#include "tiles.cuh"

constexpr int TILE_THREADS = 256;
constexpr int TILE_WARPS = TILE_THREADS / 32;
constexpr uint32 EVERY_LANE = 0xffffffffu;

struct TilesJob {
    const void* x;
    void* tables;
    const uint8* mask;  // null where everything is inside
    int64 strides[4], mask_strides[4];  // in bytes
    BinsJob bins;
    int32 shape[3], tiles[3], size[3];
    int32 parts;  // blocks of a tile
    int32 columns;  // of each
    int32 copies;  // of the counts of a block, a power of two; 0: counts are where the tables will be
};

struct Counter {
    uint32* const words;
    const int32 copies;
    int32 bin = 0;
    uint32 run = 0;

    __device__ __forceinline__ Counter(uint32* w, int32 c) : words(w + (threadIdx.x & (c - 1))), copies(c) {}
    __device__ __forceinline__ void operator()(int32 k) {
        if (k < 0) return;
        if (k != bin) add();
        bin = k;
        run++;
    }
    __device__ __forceinline__ void add() {
        if (run > 0) atomicAdd(words + int64(bin) * copies, run);
        run = 0;
    }
};

// V is how values are read.
template <class V>
__global__ void __launch_bounds__(TILE_THREADS)
tile_count(const __grid_constant__ TilesJob job) {
    DYNAMIC_SHARED(uint32, words);
    const int32 bins = job.bins.bins, copies = job.copies;
    const int32 part = int32(blockIdx.x % job.parts), tile = int32(blockIdx.x / job.parts);
    uint32* const out = static_cast<uint32*>(job.tables) + int64(tile) * bins;
    for (int32 k = threadIdx.x; k < copies * bins; k += TILE_THREADS) words[k] = 0;
    __syncthreads();

    int32 corner[3], rest = tile;
    bool inner = true;
    for (int axis = 2; axis >= 0; axis--) {
        corner[axis] = rest % job.tiles[axis] * job.size[axis];
        rest /= job.tiles[axis];
        inner = inner && corner[axis] + job.size[axis] <= job.shape[axis];
    }
    const int64 volume = rest * job.strides[0], marks = rest * job.mask_strides[0];
    const int32 height = job.size[1], columns = job.size[0] * ((height + TILE_ROWS - 1) / TILE_ROWS) * job.size[2];
    const int32 begin = part * job.columns, left = columns - begin;
    const int32 end = begin + (left < job.columns ? left : job.columns);
    Columns at(begin + threadIdx.x, TILE_THREADS, height, job.size[2]);
    Counter count(copies > 0 ? words : out, copies > 0 ? copies : 1);
    for (int32 i = begin + threadIdx.x; i < end; i += TILE_THREADS, at.next()) {
        int64 z = corner[0] + at.z, y = corner[1] + at.y, x = corner[2] + at.x;
        const int32 rows = height - at.y;
        V some[TILE_ROWS];
        uint32 there = (1u << (rows < TILE_ROWS ? rows : TILE_ROWS)) - 1;
        if (inner) {
            const int64 voxel = volume + z * job.strides[1] + y * job.strides[2] + x * job.strides[3];
            load_some<TILE_ROWS>(job.bins.type, place(job.x, voxel), job.strides[2], rows, some);
        } else {
            z = mirror(z, job.shape[0]);
            x = mirror(x, job.shape[2]);
            const int64 line = volume + z * job.strides[1] + x * job.strides[3];
#pragma unroll
            for (int k = 0; k < TILE_ROWS; k++) {
                const int64 voxel = line + mirror(y + k, job.shape[1]) * job.strides[2];
                load_some<1>(job.bins.type, place(job.x, voxel), 0, 1, some + k);
            }
        }
        if (job.mask != nullptr) {
            const uint8* const line = job.mask + marks + z * job.mask_strides[1] + x * job.mask_strides[3];
#pragma unroll
            for (int k = 0; k < TILE_ROWS; k++) {
                const int64 row = inner ? y + k : mirror(y + k, job.shape[1]);
                if ((there >> k & 1) && line[row * job.mask_strides[2]] == 0) there &= ~(1u << k);
            }
        }
#pragma unroll
        for (int k = 0; k < TILE_ROWS; k++)
            if (there >> k & 1) count(bin_of(job.bins, some[k]).index);
    }
    count.add();
    if (copies == 0) return;
    __syncthreads();
    for (int32 k = threadIdx.x; k < bins; k += TILE_THREADS) {
        uint32 sum = 0;
        for (int32 c = 0; c < copies; c++) sum += words[k * copies + c];
        if (job.parts == 1) out[k] = sum;
        else if (sum > 0) atomicAdd(out + k, sum);
    }
}

struct ClearJob {
    void* out;
    int64 words;
};

__global__ void __launch_bounds__(TILE_THREADS)
tile_clear(const __grid_constant__ ClearJob job) {
    const int64 at = int64(blockIdx.x) * TILE_THREADS + threadIdx.x;
    if (at < job.words) static_cast<uint32*>(job.out)[at] = 0;
}

struct LevelsJob {
    int32* counts;  // voxels of each tile
    void* tables;  // histograms, and then levels
    float64 clip_limit;
    float32 span;
    int32 bins;
    int32 whole;
    int32 padding;
};

// Sums of the threads before each, and of all.
__device__ __forceinline__ uint32 sums_before(uint32 mine, uint32& all) {
    __shared__ uint32 warps[TILE_WARPS];
    const int32 lane = threadIdx.x % 32, warp = threadIdx.x / 32;
    uint32 sum = mine;
    for (int32 step = 1; step < 32; step *= 2) {
        const uint32 below = __shfl_up_sync(EVERY_LANE, sum, step);
        if (lane >= step) sum += below;
    }
    if (lane == 31) warps[warp] = sum;
    __syncthreads();
    uint32 before = 0;
    all = 0;
    for (int32 w = 0; w < TILE_WARPS; w++) {
        before += w < warp ? warps[w] : 0;
        all += warps[w];
    }
    __syncthreads();
    return before + sum - mine;
}

// A block has a tile. What peaks lose goes to all bins alike, and what is left of that to some, evenly spaced.
__global__ void __launch_bounds__(TILE_THREADS)
tile_levels(const __grid_constant__ LevelsJob job) {
    constexpr int32 EACH = 4;
    const uint32 block = blockIdx.x;
    const int32 bins = job.bins;
    uint32* const histogram = static_cast<uint32*>(job.tables) + int64(block) * bins;
    float32* const levels = static_cast<float32*>(job.tables) + int64(block) * bins;
    uint32 mine = 0, count, limit = 0xffffffffu, share = 0, rest = 0, step = 1;
    for (int32 k = threadIdx.x; k < bins; k += TILE_THREADS) mine += histogram[k];
    sums_before(mine, count);
    if (threadIdx.x == 0) job.counts[block] = int32(count);
    if (job.clip_limit > 0 && count > 0) {
        const float64 wanted = job.clip_limit * count / bins;
        limit = wanted < count ? uint32(wanted) : count;
        limit = limit > 1 ? limit : 1;
        mine = 0;
        for (int32 k = threadIdx.x; k < bins; k += TILE_THREADS)
            mine += histogram[k] > limit ? histogram[k] - limit : 0;
        uint32 excess;
        sums_before(mine, excess);
        share = excess / bins;
        rest = excess - share * bins;
        step = rest > 0 ? bins / rest : 1;
        step = step > 1 ? step : 1;
    }
    const float32 scale = count > 0 ? job.span / float32(count) : 0.0f;
    uint32 before = 0;
    for (int32 first = 0; first < bins; first += EACH * TILE_THREADS) {
        const int32 begin = first + EACH * int32(threadIdx.x);
        uint32 sums[EACH], sum = 0, all;
#pragma unroll
        for (int i = 0; i < EACH; i++) {
            const uint32 k = begin + i;
            if (int32(k) < bins) {
                const uint32 h = histogram[k];
                sum += (h < limit ? h : limit) + share + (k % step == 0 && k / step < rest);
            }
            sums[i] = sum;
        }
        const uint32 mine_before = before + sums_before(sum, all);
#pragma unroll
        for (int i = 0; i < EACH; i++) {
            if (begin + i >= bins) continue;
            const float32 level = float32(int32(mine_before + sums[i])) * scale;
            levels[begin + i] = job.whole ? round_even(level) : level;
        }
        before += all;
    }
}
