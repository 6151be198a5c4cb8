// out = (x - m) / s, the mean and standard deviation of the voxels in a box around each: sums along z, y and x in turn
//
// Bytes: x and the mask once or twice, and the sums of two passes, 20 bytes of a voxel each, written and read. A thread
// slides its window over LOCAL_RUN voxels of a column, which lie side by side for the threads of a warp; along x it
// takes the sum of each voxel by itself, from the cache.
#include "chunks.cuh"

constexpr int LOCAL_RUN = 16;
constexpr float64 LOCAL_SPREAD = 1e-10;  // SPREAD of core/box.py

struct LocalJob {
    MaskedJob voxels;
    float64* sums;  // of two passes: sums, and sums of squares
    int32* counts;
    int64 size;  // of the planes of a launch
    float64 center, std, floor;
    int32 first, planes;
    int32 reach[3];
    int32 padding;
};

struct Sums {
    float64 total = 0, square = 0;
    int32 count = 0;

    __device__ __forceinline__ void add(float64 t, float64 s, int32 n) {
        total += t;
        square += s;
        count += n;
    }
};

// The sums of a pass, for the next.
struct Stored {
    float64 *total, *square;
    int32* count;

    __device__ __forceinline__ Stored(const LocalJob& job, int32 pass)
        : total(job.sums + 2 * pass * job.size), square(total + job.size), count(job.counts + pass * job.size) {}

    __device__ __forceinline__ void add(Sums& sums, int64 i, int32 sign) const {
        sums.add(sign * total[i], sign * square[i], sign * count[i]);
    }
    __device__ __forceinline__ void set(int64 i, const Sums& sums) const {
        total[i] = sums.total;
        square[i] = sums.square;
        count[i] = sums.count;
    }
};

// Windows around start <= i < stop of an axis of n, one after the other; ``add(i, sign)`` and ``set(i)`` do the rest.
template <class Add, class Set>
__device__ __forceinline__ void slide(int32 start, int32 stop, int32 n, int32 reach, Add add, Set set) {
    const int32 low = start > reach ? start - reach : 0;
    for (int32 i = low; i < start + reach && i < n; i++) add(i, 1);
    for (int32 i = start; i < stop; i++) {
        if (i + reach < n) add(i + reach, 1);
        if (i > start && i > reach) add(i - reach - 1, -1);
        set(i);
    }
}

__device__ __forceinline__ int32 least(int32 a, int32 b) { return a < b ? a : b; }

template <class T>
__global__ void __launch_bounds__(CHUNK_THREADS)
local_planes(const __grid_constant__ LocalJob job) {
    const int64 ny = job.voxels.shape[1], nx = job.voxels.shape[2];
    int64 i = int64(blockIdx.x) * CHUNK_THREADS + threadIdx.x;
    const int64 column = i % (ny * nx), y = column / nx, x = column % nx;
    i /= ny * nx;
    const int32 last = job.first + job.planes, nz = int32(job.voxels.shape[0]);
    if (i * LOCAL_RUN >= job.planes) return;
    const int32 start = job.first + int32(i) * LOCAL_RUN;
    const int64* const by = job.voxels.strides;
    const int64* const marks = job.voxels.mask_strides;
    const T* const values = static_cast<const T*>(job.voxels.x) + y * by[1] + x * by[2];
    const int64 at = y * marks[1] + x * marks[2];
    const Stored out(job, 0);
    Sums sums;
    slide(start, least(start + LOCAL_RUN, last), nz, job.reach[0],
          [&](int32 z, int32 sign) {
              if (!is_inside(job.voxels, at + z * marks[0])) return;
              const float64 v = number<float64>(values[z * by[0]]) - job.center;
              sums.add(sign * v, sign * (v * v), sign);
          },
          [&](int32 z) { out.set((z - job.first) * ny * nx + column, sums); });
}

__global__ void __launch_bounds__(CHUNK_THREADS)
local_rows(const __grid_constant__ LocalJob job) {
    const int32 ny = int32(job.voxels.shape[1]);
    const int64 nx = job.voxels.shape[2];
    int64 i = int64(blockIdx.x) * CHUNK_THREADS + threadIdx.x;
    const int64 x = i % nx, runs = (ny + LOCAL_RUN - 1) / LOCAL_RUN;
    i /= nx;
    const int32 start = int32(i % runs) * LOCAL_RUN;
    const int64 plane = i / runs;
    if (plane >= job.planes) return;
    const int64 base = plane * ny * nx + x;
    const Stored in(job, 0), out(job, 1);
    Sums sums;
    slide(start, least(start + LOCAL_RUN, ny), ny, job.reach[1],
          [&](int32 y, int32 sign) { in.add(sums, base + y * nx, sign); },
          [&](int32 y) { out.set(base + y * nx, sums); });
}

template <class T, class Out>
__global__ void __launch_bounds__(CHUNK_THREADS)
local_normalize(const __grid_constant__ LocalJob job) {
    const int64 ny = job.voxels.shape[1], i = int64(blockIdx.x) * CHUNK_THREADS + threadIdx.x;
    const int32 nx = int32(job.voxels.shape[2]), x = int32(i % nx), reach = job.reach[2];
    if (i >= job.size) return;
    const Stored in(job, 1);
    Sums sums;
    for (int32 j = x > reach ? x - reach : 0; j <= x + reach && j < nx; j++) in.add(sums, i - x + j, 1);

    float64 result = 0;
    if (sums.count > 0) {
        const float64 mean = sums.total / sums.count, variance = sums.square / sums.count - mean * mean;
        const bool differs = variance > LOCAL_SPREAD * (job.std * job.std) + LOCAL_SPREAD * (mean * mean);
        float64 spread = differs ? sqrt(variance) : 0;
        spread = spread > job.floor * job.std ? spread : job.floor * job.std;
        const int64 row = i / nx, y = row % ny, z = job.first + row / ny;
        const int64* const by = job.voxels.strides;
        const T value = static_cast<const T*>(job.voxels.x)[z * by[0] + y * by[1] + x * by[2]];
        if (spread > 0) result = (number<float64>(value) - job.center - mean) / spread;
    }
    static_cast<Out*>(job.voxels.out)[job.first * ny * nx + i] = Cast<Out>::of(result);
}
