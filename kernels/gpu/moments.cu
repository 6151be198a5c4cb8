// Of each volume: count, mean, squared deviations and extremes of the values that count, and how many are not finite
//
// Bytes: x and the mask once; the floor is those over the memory's bandwidth. A thread takes sums about the first value
// it meets, so that no large mean costs digits; integers of 8 and 16 bits are summed exactly. Threads, and then blocks,
// are put together in a fixed order (Chan, Golub, LeVeque 1983): the same bits on every run.
#include "rows.cuh"

constexpr int MOMENTS_VOXELS = 64;
constexpr float64 LARGEST = 1.7976931348623157e308;

struct MomentsJob {
    BatchJob voxels;
    float64 low, high;  // what counts lies between
};

template <class T>
struct IsExact { static constexpr bool value = false; };
template <> struct IsExact<int8> { static constexpr bool value = true; };
template <> struct IsExact<uint8> { static constexpr bool value = true; };
template <> struct IsExact<int16> { static constexpr bool value = true; };
template <> struct IsExact<uint16> { static constexpr bool value = true; };

template <class F>
struct Row;

template <>
struct Row<float64> {
    float64 count, mean, m2, low, high, odd;
    float64 shift;  // a value, that the mean is told from

    static __device__ __forceinline__ Row none() { return {0, 0, 0, LARGEST, -LARGEST, 0, 0}; }
    __device__ __forceinline__ void take(const Row& r) {
        low = r.low < low ? r.low : low;
        high = r.high > high ? r.high : high;
        odd += r.odd;
        if (r.count == 0) return;
        if (count == 0) shift = r.shift;
        const float64 n = count + r.count, share = r.count / n;
        const float64 d = (r.mean - mean) + (r.shift - shift);
        m2 += r.m2 + d * d * (count * share);
        mean += d * share;
        count = n;
    }
    __device__ __forceinline__ Row below(int32 lanes) const {
        constexpr uint32 ALL = 0xffffffffu;
        Row r = none();
        r.count = __shfl_down_sync(ALL, count, lanes);
        r.mean = __shfl_down_sync(ALL, mean, lanes);
        r.m2 = __shfl_down_sync(ALL, m2, lanes);
        r.low = __shfl_down_sync(ALL, low, lanes);
        r.high = __shfl_down_sync(ALL, high, lanes);
        r.odd = __shfl_down_sync(ALL, odd, lanes);
        r.shift = __shfl_down_sync(ALL, shift, lanes);
        return r;
    }
};

template <>
struct Row<int64> {
    int64 count, sum, squares, low, high, odd;

    static __device__ __forceinline__ Row none() { return {0, 0, 0, 65536, -65536, 0}; }
    __device__ __forceinline__ void take(const Row& r) {
        low = r.low < low ? r.low : low;
        high = r.high > high ? r.high : high;
        count += r.count;
        sum += r.sum;
        squares += r.squares;
    }
    __device__ __forceinline__ Row below(int32 lanes) const {
        constexpr uint32 ALL = 0xffffffffu;
        Row r = none();
        r.count = __shfl_down_sync(ALL, count, lanes);
        r.sum = __shfl_down_sync(ALL, sum, lanes);
        r.squares = __shfl_down_sync(ALL, squares, lanes);
        r.low = __shfl_down_sync(ALL, low, lanes);
        r.high = __shfl_down_sync(ALL, high, lanes);
        return r;
    }
};

// Sums of one thread's values.
template <class T, bool EXACT>
struct Sums;

template <class T>
struct Sums<T, false> {
    float64 least, most, center = 0, sum = 0, squares = 0, low = LARGEST, high = -LARGEST;
    int32 count = 0, odd = 0;

    __device__ __forceinline__ Sums(float64 a, float64 b) : least(a), most(b) {}
    __device__ __forceinline__ void operator()(T value) {
        const float64 v = number<float64>(value);
        if (!(fabs(v) <= LARGEST)) {
            odd++;
            return;
        }
        if (!(v > least && v < most)) return;
        center = count == 0 ? v : center;
        count++;
        const float64 d = v - center;
        sum += d;
        squares += d * d;
        low = v < low ? v : low;
        high = v > high ? v : high;
    }
    __device__ __forceinline__ Row<float64> row() const {
        Row<float64> r = Row<float64>::none();
        r.odd = odd;
        if (count == 0) return r;
        r.shift = center;
        r.count = count;
        r.mean = sum / count;
        const float64 m2 = squares - sum * sum / count;
        r.m2 = m2 > 0 ? m2 : 0;
        r.low = low;
        r.high = high;
        return r;
    }
};

template <class T>
struct Sums<T, true> {
    float64 least, most;
    int32 count = 0, sum = 0, low = 65536, high = -65536;
    uint64 squares = 0;

    __device__ __forceinline__ Sums(float64 a, float64 b) : least(a), most(b) {}
    __device__ __forceinline__ void operator()(T value) {
        const int32 v = value;
        if (!(v > least && v < most)) return;
        count++;
        sum += v;
        squares += uint64(uint32(v < 0 ? -v : v)) * uint32(v < 0 ? -v : v);
        low = v < low ? v : low;
        high = v > high ? v : high;
    }
    __device__ __forceinline__ Row<int64> row() const {
        Row<int64> r = Row<int64>::none();
        r.count = count;
        r.sum = sum;
        r.squares = int64(squares);
        r.low = low;
        r.high = high;
        return r;
    }
};

template <class T>
__global__ void __launch_bounds__(CHUNK_THREADS)
moments(const __grid_constant__ MomentsJob one, const Jobs<MomentsJob> jobs) {
    uint32 block;
    const MomentsJob& job = find_job(one, jobs, block);
    Sums<T, IsExact<T>::value> sums(job.low, job.high);
    const int64 volume = block / job.voxels.chunks;
    each_inside<T, MOMENTS_VOXELS, 4>(job.voxels, volume, block % job.voxels.chunks, sums);
    gather(sums.row(), job.voxels.one.out, block);
}

// The rows of a volume as one, in one block.
template <class F>
__global__ void __launch_bounds__(CHUNK_THREADS)
merge(const __grid_constant__ MergeJob one, const Jobs<MergeJob> jobs) {
    uint32 block;
    const MergeJob& job = find_job(one, jobs, block);
    gather_rows(Row<F>::none(), job, block);
}
