// Bad pixels replaced by the median of the good ones of the smallest square around that has enough; others are copied
//
// Bytes: x, out and the marks once; the floor is those over the memory's bandwidth. Squares are read from the caches, and
// a median is the value with as many below it as there should be: no memory is needed, and bad pixels are few.
#include "numbers.cuh"

constexpr int MEND_THREADS = 256;
constexpr int MEND_AT_ONCE = 4;

struct MendJob {
    const void* x;
    void* out;
    const uint8* bad;
    int64 strides[4], marks[4];  // of x, in bytes, and of bad
    int64 size;
    int32 shape[3];
    int32 least, reach;  // good pixels that are enough, and how far they may be
    int32 type, width;  // of x and out: one of NUMBERS, and its bytes
    int32 padding;
};

// The good values of a square within a plane.
struct Square {
    const MendJob& job;
    int64 x, bad;  // where the plane and its marks begin
    int32 top, bottom, left, right;

    __device__ __forceinline__ Square(const MendJob& j, int64 plane, int64 marks, int32 y, int32 column, int32 reach)
        : job(j), x(plane), bad(marks) {
        top = y > reach ? y - reach : 0;
        left = column > reach ? column - reach : 0;
        bottom = y + reach < job.shape[1] ? y + reach : job.shape[1] - 1;
        right = column + reach < job.shape[2] ? column + reach : job.shape[2] - 1;
    }
    template <class Visit>
    __device__ __forceinline__ void each(Visit visit) const {
        for (int32 v = top; v <= bottom; v++)
            for (int32 u = left; u <= right; u++) {
                if (job.bad[bad + v * job.marks[2] + u * job.marks[3]] != 0) continue;
                const float64 value = load_real(job.type, place(job.x, x + v * job.strides[2] + u * job.strides[3]));
                if (value == value) visit(value);
            }
    }
    __device__ __forceinline__ int32 count() const {
        int32 n = 0;
        each([&](float64) { n++; });
        return n;
    }
    // The values that are at two places in their order.
    __device__ __forceinline__ void at(int32 lower, int32 upper, float64& low, float64& high) const {
        each([&](float64 value) {
            int32 below = 0, same = 0;
            each([&](float64 other) {
                below += other < value;
                same += other == value;
            });
            if (below <= lower && lower < below + same) low = value;
            if (below <= upper && upper < below + same) high = value;
        });
    }
};

__global__ void __launch_bounds__(MEND_THREADS, 2)
mend(const __grid_constant__ MendJob one, const Jobs<MendJob> jobs) {
    uint32 block;
    const MendJob& job = find_job(one, jobs, block);
    const int32 depth = job.shape[0], height = job.shape[1], width = job.shape[2];
    const int64 begin = int64(block) * (MEND_THREADS * MEND_AT_ONCE) + threadIdx.x;
    uint64 bits[MEND_AT_ONCE];
    uint32 broken = 0;
#pragma unroll
    for (int k = 0; k < MEND_AT_ONCE; k++) {
        const int64 i = begin + k * MEND_THREADS;
        if (i >= job.size) continue;
        const int64 row = i / width, plane = row / height, column = i % width, y = row % height;
        const int64 volume = plane / depth, z = plane % depth;
        const int64 at = volume * job.strides[0] + z * job.strides[1] + y * job.strides[2] + column * job.strides[3];
        bits[k] = load_bits(job.width, place(job.x, at));
        const bool is_bad =
            job.bad[volume * job.marks[0] + z * job.marks[1] + y * job.marks[2] + column * job.marks[3]] != 0;
        broken |= uint32(is_bad) << k;
    }
#pragma unroll
    for (int k = 0; k < MEND_AT_ONCE; k++) {
        const int64 i = begin + k * MEND_THREADS;
        if (i < job.size) store_bits(job.width, place(job.out, i * job.width), bits[k]);
    }
#pragma unroll 1
    for (int32 k = 0; k < MEND_AT_ONCE; k++) {
        if (!(broken >> k & 1)) continue;
        const int64 i = begin + k * MEND_THREADS, row = i / width, plane = row / height;
        const int64 volume = plane / depth, z = plane % depth;
        const int64 from = volume * job.strides[0] + z * job.strides[1];
        const int64 marks = volume * job.marks[0] + z * job.marks[1];
        for (int32 reach = 1; reach <= job.reach; reach++) {
            const Square square(job, from, marks, int32(row % height), int32(i % width), reach);
            const int32 n = square.count();
            if (n < job.least) continue;
            float64 low = 0, high = 0;
            square.at((n - 1) / 2, n / 2, low, high);
            store_real(job.type, place(job.out, i * job.width), (low + high) / 2);
            break;
        }
    }
}
