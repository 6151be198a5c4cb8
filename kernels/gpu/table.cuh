// What is known of regions: a row of 64-bit words for each, made by adding and by maxima, so that zeros are nothing yet
#pragma once
#include "order.cuh"
#include "runs.cuh"

// Words of a row: sums, then maxima. A minimum is the maximum of what is left to a larger number.
constexpr int VOXELS = 0, INDEX_SUM = 1, HIGH = 4, LOW = 5, CAPPED = 6, SUMS = 7;
constexpr int BOX = 7, LEAST = 13, MOST = 14, USED = 15;
constexpr int ROW_WORDS = 16;
constexpr uint32 BEYOND = 0xffffffffu;
// Of a whole number, and the largest one made of floats: see core/regions.py.
constexpr int LOW_BITS = 26;
constexpr float64 LARGEST = 4503599627370496.0;

// Word j of two rows as one.
__device__ __forceinline__ uint64 both(int j, uint64 a, uint64 b) { return j < SUMS ? a + b : a > b ? a : b; }

// What a lane has of a region.
struct Row {
    uint64 sums[SUMS];
    uint32 box[6];  // low ends of z, y, x, and high ones
    uint64 least, most;

    __device__ __forceinline__ void clear() { memset(this, 0, sizeof(*this)); }
    __device__ __forceinline__ uint64 word(int j) const {
        return j < SUMS ? sums[j < SUMS ? j : 0] : j < LEAST ? box[j < LEAST && j >= BOX ? j - BOX : 0] : j == LEAST ? least : most;
    }
    __device__ __forceinline__ void take(const Row& other) {
#pragma unroll
        for (int j = 0; j < SUMS; j++) sums[j] += other.sums[j];
#pragma unroll
        for (int j = 0; j < 6; j++) box[j] = max(box[j], other.box[j]);
        least = both(LEAST, least, other.least);
        most = both(MOST, most, other.most);
    }
    // Voxels begin <= x < end of a line.
    __device__ __forceinline__ void add_voxels(uint32 z, uint32 y, uint32 begin, uint32 end) {
        const uint64 n = end - begin;
        sums[VOXELS] += n;
        sums[INDEX_SUM] += z * n;
        sums[INDEX_SUM + 1] += y * n;
        sums[INDEX_SUM + 2] += (uint64(begin) + end - 1) * n / 2;
        box[0] = max(box[0], BEYOND - z);
        box[1] = max(box[1], BEYOND - y);
        box[2] = max(box[2], BEYOND - begin);
        box[3] = max(box[3], z + 1);
        box[4] = max(box[4], y + 1);
        box[5] = max(box[5], end);
    }
};

// The types of values, in the order in which NUMBERS of _types.py has them.
enum Kind : int32 { INT8, UINT8, INT16, UINT16, INT32, UINT32, INT64, UINT64, FLOAT16, BFLOAT16, FLOAT32, FLOAT64 };

struct Values {
    const void* x;  // or null
    int64 strides[3];
    float64 scale;
    uint64 ceiling;  // the bits of the least number that is capped, as 64 bits hold it
    int32 capping;  // whether any is
    int32 kind;
};

// COUNT numbers that are STEP elements of a line apart, in the 64 bits that integers, or floats, are computed in. Which
// type is asked once for all of them, so that they are on their way at once.
template <class T, int COUNT, int STEP, class N>
__device__ __forceinline__ void load_as(const void* from, int64 at, int64 stride, int32 left, N (&numbers)[COUNT]) {
#pragma unroll
    for (int k = 0; k < COUNT; k++)
        numbers[k] = STEP * k < left ? number<N>(static_cast<const T*>(from)[at + STEP * k * stride]) : N(0);
}
template <int COUNT, int STEP>
__device__ __forceinline__ void load(int32 kind, const void* x, int64 at, int64 stride, int32 left, int64 (&numbers)[COUNT]) {
    switch (kind) {
        case INT8: load_as<int8, COUNT, STEP>(x, at, stride, left, numbers); break;
        case UINT8: load_as<uint8, COUNT, STEP>(x, at, stride, left, numbers); break;
        case INT16: load_as<int16, COUNT, STEP>(x, at, stride, left, numbers); break;
        case UINT16: load_as<uint16, COUNT, STEP>(x, at, stride, left, numbers); break;
        case INT32: load_as<int32, COUNT, STEP>(x, at, stride, left, numbers); break;
        case UINT32: load_as<uint32, COUNT, STEP>(x, at, stride, left, numbers); break;
        default: load_as<int64, COUNT, STEP>(x, at, stride, left, numbers);
    }
}
template <int COUNT, int STEP>
__device__ __forceinline__ void load(int32 kind, const void* x, int64 at, int64 stride, int32 left, float64 (&numbers)[COUNT]) {
    switch (kind) {
        case FLOAT16: load_as<float16, COUNT, STEP>(x, at, stride, left, numbers); break;
        case BFLOAT16: load_as<bfloat16, COUNT, STEP>(x, at, stride, left, numbers); break;
        case FLOAT32: load_as<float32, COUNT, STEP>(x, at, stride, left, numbers); break;
        default: load_as<float64, COUNT, STEP>(x, at, stride, left, numbers);
    }
}

__device__ __forceinline__ void add_extremes(Row& row, float64 value) {
    const uint64 key = order_of(value);
    row.least = both(LEAST, row.least, ~key);
    row.most = both(MOST, row.most, key);
}
__device__ __forceinline__ void add_value(Row& row, const Values& values, int64 value) {
    const bool large = values.kind == UINT64;
    row.sums[HIGH] += large ? uint64(value) >> LOW_BITS : uint64(value >> LOW_BITS);
    row.sums[LOW] += uint64(value) & ((uint64(1) << LOW_BITS) - 1);
    const bool capped = large ? uint64(value) >= values.ceiling : value >= int64(values.ceiling);
    row.sums[CAPPED] += values.capping && capped;
    add_extremes(row, large ? float64(uint64(value)) : float64(value));
}
__device__ __forceinline__ void add_value(Row& row, const Values& values, float64 value) {
    if (value != value) return;
    const float64 scaled = round_even(value * values.scale);
    // A zero times a large scale is zero, and of infinity there is no other sign: no NaN comes up here.
    const int64 whole = int64(scaled > LARGEST ? LARGEST : scaled < -LARGEST ? -LARGEST : scaled);
    row.sums[HIGH] += uint64(whole >> LOW_BITS);
    row.sums[LOW] += uint64(whole) & ((uint64(1) << LOW_BITS) - 1);
    float64 ceiling;
    memcpy(&ceiling, &values.ceiling, sizeof(ceiling));
    row.sums[CAPPED] += values.capping && value >= ceiling;
    add_extremes(row, value);
}

// What a warp adds to a table. Of one region, that of most neighbours, each lane keeps what it has; a warp adds up what
// is of another region before it goes to memory, for those of one region would wait for each other there.
class Gather {
    uint64* const table;
    Row kept;
    int64 region = -1;

    // The rows of the lanes that count.
    __device__ __forceinline__ void send(const Row& row, bool counts, int64 to) {
        const int32 lane = threadIdx.x % 32;
        uint64 words[ROW_WORDS];
#pragma unroll
        for (int j = 0; j < ROW_WORDS; j++) words[j] = counts && j < USED ? row.word(j) : 0;
        // Of two lanes each gives away one half of its words, until two have the same one.
        int32 word = 0;
#pragma unroll
        for (int half = ROW_WORDS / 2; half > 0; half /= 2) {
            const bool upper = lane & 2 * half;
            word += upper ? half : 0;
#pragma unroll
            for (int i = 0; i < ROW_WORDS / 2; i++) {
                if (i >= half) continue;
                const uint64 given = upper ? words[i] : words[i + half], kept = upper ? words[i + half] : words[i];
                words[i] = both(word + i, kept, __shfl_xor_sync(EVERY_LANE, given, 2 * half));
            }
        }
        const uint64 all = both(word, words[0], __shfl_xor_sync(EVERY_LANE, words[0], 1));
        if (lane % 2 != 0 || all == 0) return;
        uint64* const there = table + to * ROW_WORDS + word;
        if (word < SUMS) atomicAdd(there, all); else atomicMax(there, all);
    }

  public:
    explicit __device__ __forceinline__ Gather(uint64* t) : table(t) { kept.clear(); }

    // Whether the region of this lane, or -1, is the one that is kept, in all lanes that have one.
    __device__ __forceinline__ bool is_kept(int64 to) const {
        return __ballot_sync(EVERY_LANE, to >= 0 && to != region) == 0;
    }
    // The row in which a lane keeps.
    __device__ __forceinline__ Row& keeps() { return kept; }

    // What each lane has of a region, or of none, -1.
    __device__ __forceinline__ void add(int64 to, const Row& row) {
        const uint32 some = __ballot_sync(EVERY_LANE, to >= 0);
        if (some == 0) return;
        if (__ballot_sync(EVERY_LANE, to >= 0 && to == region) == 0) {
            finish();
            region = __shfl_sync(EVERY_LANE, to, __ffs(int32(some)) - 1);
        }
        if (to == region) kept.take(row);
        uint32 others = __ballot_sync(EVERY_LANE, to >= 0 && to != region);
#pragma unroll 1
        while (others != 0) {
            const int64 other = __shfl_sync(EVERY_LANE, to, __ffs(int32(others)) - 1);
            send(row, to == other, other);
            others &= ~__ballot_sync(EVERY_LANE, to == other);
        }
    }
    __device__ __forceinline__ void finish() {
        if (region >= 0) send(kept, true, region);
        kept.clear();
    }
};
