// s = (2 ma mb + c1) (2 cov + c2) / ((ma^2 + mb^2 + c1) (va + vb + c2)) of windows, and its sum: along z, y and x in turn
//
// Bytes: a and b once, and the four sums of two passes, 32 bytes of a voxel each, written and read; what else a window
// reaches comes from the caches. Sums of blocks are put together in a fixed order: the same bits on every run.
#include "common.cuh"

constexpr int SSIM_THREADS = 256;
constexpr int SSIM_SUMS = 4;

struct SsimJob {
    const void* a;
    const void* b;
    void* out;        // the map of the volume, or null
    float64* sums;    // of two passes
    float64* totals;  // of each block
    const float64* weights[3];
    int64 strides[3], others[3];  // of a and b
    int64 size;  // voxels of the planes of a launch
    float64 unbias, c1, c2;
    int32 shape[3], reach[3];
    int32 first, planes;
};

// Beyond the border the axis is mirrored, the border repeated.
__device__ __forceinline__ int32 mirrored(int32 i, int32 n) {
    if (i >= 0 && i < n) return i;
    i %= 2 * n;
    i = i < 0 ? i + 2 * n : i;
    return i < n ? i : 2 * n - 1 - i;
}

// Of both, of their squares together, of their product.
struct Local {
    float64 a = 0, b = 0, squares = 0, products = 0;

    __device__ __forceinline__ void add(const float64* sums, int64 size, int64 at, float64 w) {
        a += w * sums[at];
        b += w * sums[at + size];
        squares += w * sums[at + 2 * size];
        products += w * sums[at + 3 * size];
    }
    __device__ __forceinline__ void store(float64* sums, int64 size, int64 at) const {
        sums[at] = a;
        sums[at + size] = b;
        sums[at + 2 * size] = squares;
        sums[at + 3 * size] = products;
    }
};

template <class T>
__global__ void __launch_bounds__(SSIM_THREADS)
ssim_planes(const __grid_constant__ SsimJob job) {
    const int64 i = int64(blockIdx.x) * SSIM_THREADS + threadIdx.x;
    if (i >= job.size) return;
    const int32 nx = job.shape[2], ny = job.shape[1], reach = job.reach[0];
    const int64 row = i / nx, x = i % nx, y = row % ny;
    const int32 z = job.first + int32(row / ny);
    const T* const a = static_cast<const T*>(job.a) + y * job.strides[1] + x * job.strides[2];
    const T* const b = static_cast<const T*>(job.b) + y * job.others[1] + x * job.others[2];
    Local sums;
    for (int32 k = 0; k <= 2 * reach; k++) {
        const int32 plane = mirrored(z + k - reach, job.shape[0]);
        const float64 u = number<float64>(a[plane * job.strides[0]]), v = number<float64>(b[plane * job.others[0]]);
        const float64 w = job.weights[0][k];
        sums.a += w * u;
        sums.b += w * v;
        sums.squares += w * (u * u + v * v);
        sums.products += w * (u * v);
    }
    sums.store(job.sums, job.size, i);
}

__global__ void __launch_bounds__(SSIM_THREADS)
ssim_rows(const __grid_constant__ SsimJob job) {
    const int64 i = int64(blockIdx.x) * SSIM_THREADS + threadIdx.x;
    if (i >= job.size) return;
    const int32 ny = job.shape[1], reach = job.reach[1];
    const int64 nx = job.shape[2], row = i / nx;
    const int32 y = int32(row % ny);
    const int64 base = i - y * nx;
    Local sums;
    for (int32 k = 0; k <= 2 * reach; k++)
        sums.add(job.sums, job.size, base + mirrored(y + k - reach, ny) * nx, job.weights[1][k]);
    sums.store(job.sums + SSIM_SUMS * job.size, job.size, i);
}

// The block's numbers added up as a tree, for thread 0.
__device__ __forceinline__ float64 tree(float64 mine, float64* lanes) {
    lanes[threadIdx.x] = mine;
    for (int32 step = SSIM_THREADS / 2; step > 0; step /= 2) {
        __syncthreads();
        if (int32(threadIdx.x) < step) lanes[threadIdx.x] += lanes[threadIdx.x + step];
    }
    return lanes[0];
}

template <class Out>
__global__ void __launch_bounds__(SSIM_THREADS)
ssim(const __grid_constant__ SsimJob job) {
    __shared__ float64 lanes[SSIM_THREADS];
    const int64 i = int64(blockIdx.x) * SSIM_THREADS + threadIdx.x;
    float64 counted = 0;
    if (i < job.size) {
        const int32 nx = job.shape[2], ny = job.shape[1], reach = job.reach[2];
        const int64 row = i / nx;
        const int32 x = int32(i % nx), y = int32(row % ny), z = job.first + int32(row / ny);
        Local l;
        for (int32 k = 0; k <= 2 * reach; k++)
            l.add(job.sums + SSIM_SUMS * job.size, job.size, i - x + mirrored(x + k - reach, nx), job.weights[2][k]);
        const float64 means = l.a * l.b, both = l.a * l.a + l.b * l.b;
        const float64 cov = job.unbias * (l.products - means), var = job.unbias * (l.squares - both);
        const float64 s = (2 * means + job.c1) * (2 * cov + job.c2) / ((both + job.c1) * (var + job.c2));
        if (job.out != nullptr) static_cast<Out*>(job.out)[int64(job.first) * ny * nx + i] = Cast<Out>::of(s);
        const bool inside = z >= job.reach[0] && z < job.shape[0] - job.reach[0] && y >= job.reach[1] &&
                            y < ny - job.reach[1] && x >= reach && x < nx - reach;
        counted = inside ? s : 0;
    }
    const float64 total = tree(counted, lanes);
    if (threadIdx.x == 0) job.totals[blockIdx.x] = total;
}

struct TotalJob {
    const float64* rows;
    float64* out;
    int64 count;  // rows of a volume
};

// The rows of a volume added up, in one block.
__global__ void __launch_bounds__(SSIM_THREADS)
ssim_total(const __grid_constant__ TotalJob job) {
    __shared__ float64 lanes[SSIM_THREADS];
    float64 mine = 0;
    for (int64 i = threadIdx.x; i < job.count; i += SSIM_THREADS) mine += job.rows[blockIdx.x * job.count + i];
    const float64 total = tree(mine, lanes);
    if (threadIdx.x == 0) job.out[blockIdx.x] = total;
}
