// What the bias correctors share: log intensities, their histogram, residuals summed against a lattice, and the next
// log intensities without the field. A volume is two float32 arrays: its logs, and those without the field so far; what
// does not count is NaN in both. Nothing is read back: each volume's State says what comes next.
//
// Bytes of an iteration: three reads and a write of the voxels without the field, one read of the logs.
#pragma once
#include "separable.cuh"

constexpr int BIAS_THREADS = 256;
constexpr int BIAS_WARPS = BIAS_THREADS / 32;
// Rows of a block of `subtract`, and of these of a warp at a time.
constexpr int STRIP = 32, STRIP_ROWS = 8;
// Histograms of a block of `count`.
constexpr int COUNT_COPIES = 8;
// Fractions of a bin are counted in this unit, in integers: their sum has no order.
constexpr int FRACTION = 65536;
constexpr uint32 EVERY_LANE = 0xffffffffu;

struct State {
    uint64 inside, broken;  // voxels that count; voxels of the mask that are not finite
    float64 change;  // of the field, by its last step
    uint32 low, high;  // of what is left, as ordered keys
    float32 origin, slope;  // of the bins; slope 0: all voxels are alike
    int32 done, step;
    float64 scale;  // of residuals, for a loss
    int32 box[6];  // lowest z, y, x that count, then highest
};

// An array of any type, read where speed does not matter.
struct Any {
    const void* data;  // null: all ones
    int64 strides[4];
    int32 kind, volumes;  // of NUMBERS; one volume is for all

    __device__ __forceinline__ float64 at(int32 b, int32 z, int32 y, int32 x) const {
        const int64 i = (volumes == 1 ? 0 : b * strides[0]) + z * strides[1] + y * strides[2] + x * strides[3];
        switch (kind) {
            case 0: return static_cast<const int8*>(data)[i];
            case 1: return static_cast<const uint8*>(data)[i];
            case 2: return static_cast<const int16*>(data)[i];
            case 3: return static_cast<const uint16*>(data)[i];
            case 4: return static_cast<const int32*>(data)[i];
            case 5: return static_cast<const uint32*>(data)[i];
            case 6: return float64(static_cast<const int64*>(data)[i]);
            case 7: return float64(static_cast<const uint64*>(data)[i]);
            case 8: return float_of(static_cast<const float16*>(data)[i]);
            case 9: return float_of(static_cast<const bfloat16*>(data)[i]);
            case 10: return static_cast<const float32*>(data)[i];
            default: return static_cast<const float64*>(data)[i];
        }
    }
};

// Voxels start <= i < stop of an axis, which depend on the same control values, from `first` on.
struct Piece {
    int32 start, stop, first, padding;
};

// A fit at one level. Arrays have a part per volume.
struct BiasJob {
    Any x, mask, trust;
    float64 label;
    int32 labelled, volumes;
    int32 shape[3], bins;
    int32 box[6];  // start z, y, x and stop of what is looked at: nothing beyond counts in any volume
    float32* logs;
    float32* left;
    float32* weight;  // null: all ones
    float32* differences;  // null, or where old - new is wanted for each voxel
    State* state;
    uint64* counted;  // (2, bins + 1): voxels, and the sum of their fractions
    float32* expected;  // (bins, 2): a function of the bin, and of the next
    float64* moved;  // (strips, 2): sums of exp(old - new) - 1 and of its square
    float64* partial;  // (boxes, taps, taps, kx)
    float64* lattice;
    float64* density;
    AxisTable axes[3];  // the field's
    AxisTable against[3];  // what residuals are summed against
    const Piece* pieces[3];
    int32 piece_count[3];
    int32 strips, residuals, loss;
};

__device__ __forceinline__ float32 not_a_number() { return __uint_as_float(0x7fc00000u); }

// Order-preserving bits of a float32.
__device__ __forceinline__ uint32 key_of(float32 v) {
    const uint32 bits = __float_as_uint(v);
    return bits & 0x80000000u ? ~bits : bits | 0x80000000u;
}
__device__ __forceinline__ float32 of_key(uint32 key) {
    return __uint_as_float(key & 0x80000000u ? key & 0x7fffffffu : ~key);
}

// The range of a block's values into the state; all threads of the block.
__device__ __forceinline__ void merge_range(State& state, float32 low, float32 high) {
    __shared__ float32 lows[BIAS_THREADS], highs[BIAS_THREADS];
    lows[threadIdx.x] = low;
    highs[threadIdx.x] = high;
    for (int32 half = BIAS_THREADS / 2; half > 0; half /= 2) {
        __syncthreads();
        if (int32(threadIdx.x) >= half) continue;
        const float32 l = lows[threadIdx.x + half], h = highs[threadIdx.x + half];
        if (l < lows[threadIdx.x]) lows[threadIdx.x] = l;
        if (h > highs[threadIdx.x]) highs[threadIdx.x] = h;
    }
    if (threadIdx.x != 0 || lows[0] > highs[0]) return;
    atomicMin(&state.low, key_of(lows[0]));
    atomicMax(&state.high, key_of(highs[0]));
}

// Sums over a block in an order of its own; all threads, and the answer for thread 0.
__device__ __forceinline__ void block_sums(float64& a, float64& b) {
    __shared__ float64 as[BIAS_THREADS], bs[BIAS_THREADS];
    as[threadIdx.x] = a;
    bs[threadIdx.x] = b;
    for (int32 half = BIAS_THREADS / 2; half > 0; half /= 2) {
        __syncthreads();
        if (int32(threadIdx.x) >= half) continue;
        as[threadIdx.x] += as[threadIdx.x + half];
        bs[threadIdx.x] += bs[threadIdx.x + half];
    }
    if (threadIdx.x != 0) return;
    a = as[0];
    b = bs[0];
}

// The logs of a volume, and how many voxels count. A block has 1024 voxels.
__device__ __forceinline__ void collect_block(const BiasJob& job) {
    const int64 plane = int64(job.shape[1]) * job.shape[2], voxels = plane * job.shape[0];
    const int32 blocks = int32((voxels + 1023) / 1024), b = blockIdx.x / blocks;
    State& state = job.state[b];
    const float32 none = not_a_number();
    float32 low = __uint_as_float(0x7f800000u), high = -low;
    float64 inside = 0, broken = 0;
    __shared__ int32 box[6];
    if (threadIdx.x < 6) box[threadIdx.x] = threadIdx.x < 3 ? 0x7fffffff : -1;
    __syncthreads();
    for (int32 k = 0; k < 1024; k += BIAS_THREADS) {
        const int64 i = int64(blockIdx.x % blocks) * 1024 + k + threadIdx.x;
        if (i >= voxels) break;
        const int32 z = int32(i / plane), y = int32(i % plane / job.shape[2]), x = int32(i % job.shape[2]);
        float32 value = none;
        bool counts = true;
        if (job.mask.data) {
            const float64 mark = job.mask.at(b, z, y, x);
            counts = job.labelled ? mark == job.label : mark != 0;
        }
        if (job.trust.data) {
            const float64 w = job.trust.at(b, z, y, x);
            counts = counts && w > 0;
            job.weight[b * voxels + i] = w > 0 ? float32(w) : 0;
        }
        if (counts) {
            const float64 given = job.x.at(b, z, y, x);
            if (given - given == 0) {
                value = float32(given);
                value = value > 0 ? logf(value) : value;
                inside += 1;
                low = value < low ? value : low;
                high = value > high ? value : high;
                const int32 at[3] = {z, y, x};
#pragma unroll
                for (int32 axis = 0; axis < 3; axis++) {
                    atomicMin(box + axis, at[axis]);
                    atomicMax(box + 3 + axis, at[axis]);
                }
            } else {
                broken += 1;
            }
        }
        job.logs[b * voxels + i] = value;
        job.left[b * voxels + i] = value;
        if (job.differences) job.differences[b * voxels + i] = none;
    }
    merge_range(state, low, high);
    if (threadIdx.x < 3) atomicMin(state.box + threadIdx.x, box[threadIdx.x]);
    else if (threadIdx.x < 6) atomicMax(state.box + threadIdx.x, box[threadIdx.x]);
    block_sums(inside, broken);
    if (threadIdx.x != 0) return;
    if (inside > 0) atomicAdd(&state.inside, uint64(inside));
    if (broken > 0) atomicAdd(&state.broken, uint64(broken));
}

// The histogram of what is left; a voxel between two bins counts in both, by its distance. A block has 16384 voxels, and
// a histogram for every eighth lane: neighbours are alike, and would wait for each other.
__device__ __forceinline__ void count_block(const BiasJob& job) {
    DYNAMIC_SHARED(uint32, counts);
    const int32 pair = 2 * (job.bins + 1);
    uint32 *const own = counts + threadIdx.x % COUNT_COPIES * pair, *const parts = own + job.bins + 1;
    const int64 plane = int64(job.shape[1]) * job.shape[2], voxels = (job.box[3] - job.box[0]) * plane;
    const int32 blocks = int32((voxels + 16383) / 16384), b = blockIdx.x / blocks;
    const State& state = job.state[b];
    const float32 low = of_key(state.low), high = of_key(state.high);
    if (state.done || !(low < high)) return;
    const float32 top = float32(job.bins - 1), slope = (high - low) / top;
    for (int32 i = threadIdx.x; i < COUNT_COPIES * pair; i += BIAS_THREADS) counts[i] = 0;
    __syncthreads();
    const int64 first = int64(blockIdx.x % blocks) * 16384;
    const int64 last = first + 16384 < voxels ? first + 16384 : voxels;
    const float32* const left = job.left + (int64(b) * job.shape[0] + job.box[0]) * plane;
    for (int64 i = first + threadIdx.x; i < last; i += BIAS_THREADS) {
        const float32 at = (left[i] - low) / slope;
        // False for NaN, and for what rounding put above the last bin.
        if (!(at <= top)) continue;
        const int32 base = int32(at);
        atomicAdd(own + base, 1u);
        const uint32 part = uint32((at - float32(base)) * FRACTION);
        if (part) atomicAdd(parts + base, part);
    }
    __syncthreads();
    uint64* const counted = job.counted + int64(b) * pair;
    for (int32 i = threadIdx.x; i < pair; i += BIAS_THREADS) {
        uint64 sum = 0;
        for (int32 k = 0; k < COUNT_COPIES; k++) sum += counts[k * pair + i];
        if (sum) atomicAdd(counted + i, sum);
    }
}

// Voxels in a bin, from the counts of `count`.
__device__ __forceinline__ float64 bin_count(const uint64* counted, int32 bins, int32 bin) {
    const uint64* const parts = counted + bins + 1;
    const float64 before = bin > 0 ? float64(parts[bin - 1]) : 0.0;
    return float64(counted[bin]) + (before - float64(parts[bin])) / FRACTION;
}

// A value of each bin into the pairs that `gather` reads.
__device__ __forceinline__ void expect(float32* expected, int32 bins, int32 bin, float32 value) {
    expected[2 * bin] = value;
    if (bin > 0) expected[2 * bin - 1] = value;
    if (bin == bins - 1) expected[2 * bin + 1] = value;
}

// How a residual lowers its own weight: 1 Huber's way, 2 Tukey's.
__device__ __forceinline__ float32 trusted(int32 loss, float32 residual, float32 scale) {
    if (loss == 1) {
        const float32 size = fabsf(residual);
        return size > scale ? scale / size : 1.0f;
    }
    if (loss == 2) {
        const float32 relative = residual / scale, kept = 1.0f - relative * relative;
        return kept > 0 ? kept * kept : 0.0f;
    }
    return 1.0f;
}

// Sums of weights, or of weighted residuals, against the functions of three axes. A block has the rows of one piece
// along y in the planes of one piece along z, a warp one of those planes: it sums along y in registers, then along x
// over a tile, and the block along z.
template <int TAPS>
__device__ __forceinline__ void gather_block(const BiasJob& job) {
    DYNAMIC_SHARED(float64, sums);  // (warps, TAPS, kx)
    const int32 kx = job.against[2].controls, warp = threadIdx.x / 32, lane = threadIdx.x % 32;
    float32* const columns = reinterpret_cast<float32*>(sums + BIAS_WARPS * TAPS * kx) + warp * 2 * TAPS * 32;
    float32* const tile = columns + TAPS * 32;
    float32* const expected = reinterpret_cast<float32*>(sums + BIAS_WARPS * TAPS * kx) + BIAS_WARPS * 2 * TAPS * 32;
    const int32 boxes = job.piece_count[0] * job.piece_count[1], b = blockIdx.x / boxes, box = blockIdx.x % boxes;
    const State& state = job.state[b];
    if (state.done) return;
    const Piece depth = job.pieces[0][box / job.piece_count[1]], height = job.pieces[1][box % job.piece_count[1]];
    const bool judged = job.residuals || job.loss;
    if (judged)
        for (int32 i = threadIdx.x; i < 2 * job.bins; i += BIAS_THREADS)
            expected[i] = job.expected[int64(b) * 2 * job.bins + i];
    for (int32 i = threadIdx.x; i < BIAS_WARPS * TAPS * kx; i += BIAS_THREADS) sums[i] = 0;
    __syncthreads();
    const int32 z = depth.start + warp, width = job.shape[2];
    const float32 origin = state.origin, slope = state.slope, scale = float32(state.scale), top = float32(job.bins - 1);
    if (z < depth.stop) {
        const int64 before = ((int64(b) * job.shape[0] + z) * job.shape[1] + height.start) * width;
        for (int32 t = 0; t < job.piece_count[2]; t++) {
            const Piece along = job.pieces[2][t];
            const int32 x = along.start + lane;
            float32 column[TAPS];
#pragma unroll
            for (int32 j = 0; j < TAPS; j++) column[j] = 0;
            if (x < along.stop) {
                const float32* left = job.left + before + x;
                const float32* weight = job.weight ? job.weight + before + x : nullptr;
                const float32* wy = job.against[1].light + int64(height.start) * TAPS;
                for (int32 y = height.start; y < height.stop; y++, left += width, wy += TAPS) {
                    const float32 value = *left;
                    float32 part = value == value ? 1.0f : 0.0f;
                    if (judged) {
                        float32 at = slope > 0 ? (value - origin) / slope : 0.0f;
                        at = at > 0 ? at : 0.0f;
                        at = at < top ? at : top;
                        const int32 k = int32(at);
                        const float32 here = expected[2 * k], next = expected[2 * k + 1];
                        float32 away = value - (here + (next - here) * (at - float32(k)));
                        away = away == away ? away : 0.0f;
                        part *= trusted(job.loss, away, scale);
                        if (job.residuals) part *= away;
                    }
                    if (weight) {
                        part *= *weight;
                        weight += width;
                    }
#pragma unroll
                    for (int32 j = 0; j < TAPS; j++) column[j] = fused(wy[j], part, column[j]);
                }
            }
#pragma unroll
            for (int32 j = 0; j < TAPS; j++) {
                columns[j * 32 + lane] = column[j];
                tile[j * 32 + lane] = x < along.stop ? job.against[2].light[int64(x) * TAPS + j] : 0.0f;
            }
            __syncwarp();
            for (int32 o = lane; o < TAPS * TAPS; o += 32) {
                const float32 *const c = columns + o / TAPS * 32, *const w = tile + o % TAPS * 32;
                float64 sum = 0;
                for (int32 i = 0; i < 32; i++) sum += float64(c[i]) * float64(w[i]);
                sums[(warp * TAPS + o / TAPS) * kx + along.first + o % TAPS] += sum;
            }
            __syncwarp();
        }
    }
    __syncthreads();
    float64* const out = job.partial + int64(blockIdx.x) * TAPS * TAPS * kx;
    for (int32 i = threadIdx.x; i < TAPS * TAPS * kx; i += BIAS_THREADS) {
        const int32 a = i / (TAPS * kx), rest = i % (TAPS * kx);
        float64 sum = 0;
        for (int32 k = depth.start; k < depth.stop; k++)
            sum += job.against[0].weight[int64(k) * TAPS + a] * sums[(k - depth.start) * TAPS * kx + rest];
        out[i] = sum;
    }
}

// The sum for one point of the lattice over all boxes that reach it; the lanes of a warp, and the answer for lane 0.
template <int TAPS>
__device__ __forceinline__ float64 point_sum(const BiasJob& job, int32 b, int32 point) {
    __shared__ float64 lanes[BIAS_THREADS];
    const int32 ky = job.against[1].controls, kx = job.against[2].controls;
    const int32 a = point / (ky * kx), c = point % kx, row = point / kx % ky;
    const int32 boxes = job.piece_count[0] * job.piece_count[1], lane = threadIdx.x % 32;
    float64 sum = 0;
    for (int32 i = lane; i < boxes; i += 32) {
        const int32 za = a - job.pieces[0][i / job.piece_count[1]].first;
        const int32 ya = row - job.pieces[1][i % job.piece_count[1]].first;
        if (za < 0 || za >= TAPS || ya < 0 || ya >= TAPS) continue;
        sum += job.partial[((int64(b) * boxes + i) * TAPS * TAPS + za * TAPS + ya) * kx + c];
    }
    lanes[threadIdx.x] = sum;
    for (int32 half = 16; half > 0; half /= 2) {
        __syncwarp();
        if (lane < half) lanes[threadIdx.x] += lanes[threadIdx.x + half];
    }
    return lanes[threadIdx.x - lane];
}

// What is left of the logs without the lattice's field, its range, and how far the field has moved. A block has a strip
// of rows of one plane.
template <int TAPS>
__device__ __forceinline__ void subtract_block(const BiasJob& job) {
    DYNAMIC_SHARED(float32, rows);
    const int32 kx = job.axes[2].controls, points = job.axes[0].controls * job.axes[1].controls * kx;
    const int32 b = blockIdx.x / job.strips, strip = blockIdx.x % job.strips;
    State& state = job.state[b];
    if (state.done) return;
    const int32 in_plane = job.strips / (job.box[3] - job.box[0]), z = job.box[0] + strip / in_plane;
    const int32 y0 = job.box[1] + strip % in_plane * STRIP, y1 = y0 + STRIP < job.box[4] ? y0 + STRIP : job.box[4];
    const int32 width = job.shape[2], left = job.box[2], right = job.box[5];
    row_controls(job.lattice + int64(b) * points, job.axes, z, y0, y1, rows);
    const int64 before = (int64(b) * job.shape[0] + z) * job.shape[1] * width;
    const int32 tiles = (right - left + 31) / 32, groups = (y1 - y0 + STRIP_ROWS - 1) / STRIP_ROWS;
    float32 low = __uint_as_float(0x7f800000u), high = -low;
    float64 total = 0, squares = 0;
    for (int32 item = threadIdx.x / 32; item < tiles * groups; item += BIAS_WARPS) {
        const int32 x = left + item % tiles * 32 + threadIdx.x % 32, first = y0 + item / tiles * STRIP_ROWS;
        if (x >= right) continue;
        float32 w[TAPS];
#pragma unroll
        for (int32 j = 0; j < TAPS; j++) w[j] = job.axes[2].light[int64(x) * TAPS + j];
        const int32 last = first + STRIP_ROWS < y1 ? first + STRIP_ROWS : y1;
        const float32* c = rows + (first - y0) * kx + job.axes[2].first[x];
        for (int32 y = first; y < last; y++, c += kx) {
            const int64 i = before + int64(y) * width + x;
            float32 sum = w[0] * c[0];
#pragma unroll
            for (int32 j = 1; j < TAPS; j++) sum = fused(w[j], c[j], sum);
            const float32 value = job.logs[i] - sum, difference = value - job.left[i];
            const float32 rise = exponential_less_one(difference);
            job.left[i] = value;
            if (job.differences) job.differences[i] = difference;
            if (value == value) {
                total += rise;
                squares += float64(rise) * rise;
                low = value < low ? value : low;
                high = value > high ? value : high;
            }
        }
    }
    merge_range(state, low, high);
    block_sums(total, squares);
    if (threadIdx.x == 0) {
        job.moved[2 * int64(blockIdx.x)] = total;
        job.moved[2 * int64(blockIdx.x) + 1] = squares;
    }
}

// The coefficient of variation of exp(old field - new field) from the sums of `subtract`; all threads of a block.
__device__ __forceinline__ float64 change_of(const BiasJob& job, int32 b) {
    float64 total = 0, squares = 0;
    for (int32 i = threadIdx.x; i < job.strips; i += BIAS_THREADS) {
        total += job.moved[2 * (int64(b) * job.strips + i)];
        squares += job.moved[2 * (int64(b) * job.strips + i) + 1];
    }
    block_sums(total, squares);
    __shared__ float64 change;
    if (threadIdx.x == 0) {
        const float64 n = float64(job.state[b].inside);
        const float64 spread = squares - total * total / n;
        change = n < 2 ? 0 : sqrt((spread > 0 ? spread : 0) / (n - 1)) / (1 + total / n);
    }
    __syncthreads();
    return change;
}

// Whether the last step was the last one, noted with its change; all threads of the volume's block.
__device__ __forceinline__ bool has_ended(State& state, float64 change, float64 threshold, int32* steps,
                                          float64* changes, int64 at) {
    if (threadIdx.x == 0) {
        steps[at] = state.step;
        changes[at] = change;
    }
    if (change > threshold) return false;
    __syncthreads();
    if (threadIdx.x == 0) state.done = 1;
    return true;
}

// A step begins: the bins of what is left, whose range starts anew; the step between bins, 0 where all are alike.
__device__ __forceinline__ float64 begin_step(State& state, int32 bins, float32& low) {
    low = of_key(state.low);
    const float32 high = of_key(state.high);
    const float32 slope = low < high ? (high - low) / float32(bins - 1) : 0.0f;
    __syncthreads();
    if (threadIdx.x == 0) {
        state.step += 1;
        state.origin = low;
        state.slope = slope;
        state.low = 0xffffffffu;
        state.high = 0;
    }
    return slope;
}
