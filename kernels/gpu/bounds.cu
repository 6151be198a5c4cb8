// The smallest box that holds every non-zero voxel: box[axis] = (lowest index, highest index)
//
// Bytes: the mask once. A warp reads a row and gathers it by ballot; only a row with a voxel touches the box.
#include "common.cuh"

constexpr int BOUNDS_ROWS = 8;

struct BoundsJob {
    const void* x;
    int32* box;  // lowest z, y, x, then highest
    int64 strides[3];
    int64 rows;
    int32 shape[3];
    int32 padding;
};

template <class T>
__device__ __forceinline__ bool is_set(T v) { return v != 0; }
template <>
__device__ __forceinline__ bool is_set(float16 v) { return (v.bits & 0x7fff) != 0; }
template <>
__device__ __forceinline__ bool is_set(bfloat16 v) { return (v.bits & 0x7fff) != 0; }

template <class T>
__global__ void __launch_bounds__(32 * BOUNDS_ROWS)
bounds(const __grid_constant__ BoundsJob one, const Jobs<BoundsJob> jobs) {
    uint32 block;
    const BoundsJob& job = find_job(one, jobs, block);
    const int64 row = int64(block) * BOUNDS_ROWS + threadIdx.x / 32;
    if (row >= job.rows) return;
    const int32 z = int32(row / job.shape[1]), y = int32(row % job.shape[1]), lane = threadIdx.x % 32;
    const T* const x = static_cast<const T*>(job.x) + z * job.strides[0] + y * job.strides[1];
    int32 low = job.shape[2], high = -1;
    for (int32 first = 0; first < job.shape[2]; first += 32) {
        const int32 i = first + lane;
        const uint32 set = __ballot_sync(0xffffffffu, i < job.shape[2] && is_set(x[i * job.strides[2]]));
        if (set == 0) continue;
        if (high < 0) low = first + __ffs(int32(set)) - 1;
        high = first + 31 - __clz(int32(set));
    }
    if (lane != 0 || high < 0) return;
    atomicMin(job.box, z);
    atomicMin(job.box + 1, y);
    atomicMin(job.box + 2, low);
    atomicMax(job.box + 3, z);
    atomicMax(job.box + 4, y);
    atomicMax(job.box + 5, high);
}
