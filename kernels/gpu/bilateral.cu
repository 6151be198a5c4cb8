// The bilateral filter (Tomasi, Manduchi 1998): a mean of the voxels near, weighted by how near and how alike they are
//
// Bytes: x once, the result once; the rest is arithmetic, some 16 instructions and one exponential for each neighbour.
// The threads of a block are neighbours along all axes, so the cache has what they read. Sums are of differences from
// the voxel itself, so that no large mean costs digits, and in C order.
#include "common.cuh"

constexpr int BILATERAL_THREADS = 256;

struct BilateralJob {
    const void* x;
    void* out;
    const float32* near;  // weights by distance
    int64 shape[3];
    int64 tiles[3];
    float32 scale;
    int32 reach[3];
    int32 planes, rows;  // of a block
};

__device__ __forceinline__ int32 clipped(int32 low, int64 i, int64 most) {
    return i + low < 0 ? int32(-i) : i + low > most ? int32(most - i) : low;
}

// Of values that V holds; weights and sums are of float32.
template <class V>
__global__ void __launch_bounds__(BILATERAL_THREADS)
bilateral(const __grid_constant__ BilateralJob job) {
    int64 rest = blockIdx.x;
    const int64 nz = job.shape[0], ny = job.shape[1], nx = job.shape[2];
    const int32 line = threadIdx.x / 32;
    const int64 x = rest % job.tiles[2] * 32 + threadIdx.x % 32;
    rest /= job.tiles[2];
    const int64 y = rest % job.tiles[1] * job.rows + line % job.rows;
    rest /= job.tiles[1];
    const int64 z = rest % job.tiles[0] * job.planes + line / job.rows, volume = rest / job.tiles[0];
    if (z >= nz || y >= ny || x >= nx) return;
    const int64 at = ((volume * nz + z) * ny + y) * nx + x;
    const V* const here = static_cast<const V*>(job.x) + at;
    const V own = *here;
    const float32 scale = job.scale;
    const int32 rz = job.reach[0], ry = job.reach[1], rx = job.reach[2];
    // The box ends at the border.
    const int32 z0 = clipped(-rz, z, nz - 1), z1 = clipped(rz, z, nz - 1);
    const int32 y0 = clipped(-ry, y, ny - 1), y1 = clipped(ry, y, ny - 1);
    const int32 x0 = clipped(-rx, x, nx - 1), x1 = clipped(rx, x, nx - 1);
    float32 sum = 0, weight = 0;
    for (int32 k = z0; k <= z1; k++)
        for (int32 j = y0; j <= y1; j++) {
            const V* const row = here + (k * ny + j) * nx;
            const float32* const near = job.near + ((k + rz) * (2 * ry + 1) + j + ry) * int64(2 * rx + 1) + rx;
            for (int32 i = x0; i <= x1; i++) {
                const float32 d = float32(row[i] - own), w = near[i] * exponential(-(d * d) * scale);
                weight += w;
                sum = fused(w, d, sum);
            }
        }
    static_cast<V*>(job.out)[at] = own + V(sum / weight);
}
