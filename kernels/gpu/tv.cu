// Total variation by Chambolle's (2004) dual iteration: one launch for each, none of them waited for
//
// Bytes of an iteration: the image and the dual field read, the field written, 28 a voxel in 3-D and float32; the floor
// is those over the memory's bandwidth. A block goes down the planes of a tile: the denoised image of the next plane is
// made in shared memory while that of this one is there, so gradients read nothing. Sums of the energy are put together
// in a fixed order by the block that comes last; it says on the device whether that was the last iteration.
#include "common.cuh"

constexpr int TV_THREADS = 256;
constexpr int TV_COLUMNS = 32, TV_ROWS = TV_THREADS / TV_COLUMNS;
// A tile's image, a row and a column more than it has voxels.
constexpr int TV_PITCH = TV_COLUMNS + 1, TV_TILE = TV_PITCH * (TV_ROWS + 1);

// What is known of a volume.
struct Energy {
    float64 first, before;
    int32 ended, last;  // the iteration that found so
    uint32 blocks;  // that are done with this one
    int32 padding;
};

// The dual field along each axis, null along z and y where they have one voxel: (volumes, z, y, x).
template <class C>
struct Parts {
    C *z, *y, *x;
};

template <class C>
struct TvJob {
    const C* x;
    C* out;
    Parts<C> from, to;  // of this iteration; at the end of those of even number, and of odd
    Energy* energies;
    float64* sums;  // of each block
    int64 size, volumes;  // voxels of a volume
    int64 tiles[3];
    int32 shape[3];
    int32 planes;  // of a tile
    float64 weight, eps;
    C step, ratio;
    int32 iteration;
    int32 padding;
};

// What the dual field makes of the image. Of arrays and voxels the places are those in the batch.
template <class C>
struct Field {
    Parts<C> parts;
    int64 row, plane;
    bool none;  // before the first iteration

    // What flows into a voxel less what flows out of it; ``here`` becomes the field.
    __device__ __forceinline__ C divergence(int64 at, int32 z, int32 y, int32 x, C (&here)[3]) const {
        here[0] = here[1] = here[2] = 0;
        if (none) return 0;
        if (parts.z != nullptr) here[0] = parts.z[at];
        if (parts.y != nullptr) here[1] = parts.y[at];
        here[2] = parts.x[at];
        C d = -(here[0] + here[1] + here[2]);
        if (z > 0) d += parts.z[at - plane];
        if (y > 0) d += parts.y[at - row];
        if (x > 0) d += parts.x[at - 1];
        return d;
    }
};

// The sum of all threads' values in a fixed order, for thread 0.
__device__ __forceinline__ float64 sum_of_block(float64 mine) {
    __shared__ float64 warps[TV_THREADS / 32];
    for (int32 lanes = 16; lanes > 0; lanes /= 2) mine += __shfl_down_sync(0xffffffffu, mine, lanes);
    if (threadIdx.x % 32 == 0) warps[threadIdx.x / 32] = mine;
    __syncthreads();
    if (threadIdx.x != 0) return 0;
    for (int32 w = 1; w < TV_THREADS / 32; w++) mine += warps[w];
    return mine;
}

template <class C>
__global__ void __launch_bounds__(TV_THREADS)
tv_clear(const __grid_constant__ TvJob<C> job) {
    const int64 i = int64(blockIdx.x) * TV_THREADS + threadIdx.x;
    if (i < job.volumes) job.energies[i] = {0, 0, 0, 0, 0, 0};
}

template <class C>
__global__ void __launch_bounds__(TV_THREADS, 3)
tv_iterate(const __grid_constant__ TvJob<C> job) {
    __shared__ C images[3][TV_TILE];
    __shared__ bool is_last;
    const int64 blocks = job.tiles[0] * job.tiles[1] * job.tiles[2], volume = blockIdx.x / blocks;
    Energy& energy = job.energies[volume];
    if (energy.ended) return;
    const int64 tile = blockIdx.x % blocks;
    const int32 x0 = int32(tile % job.tiles[2]) * TV_COLUMNS, y0 = int32(tile / job.tiles[2] % job.tiles[1]) * TV_ROWS;
    const int32 z0 = int32(tile / job.tiles[2] / job.tiles[1]) * job.planes;
    const int32 nz = job.shape[0], ny = job.shape[1], nx = job.shape[2];
    const int32 z1 = z0 + job.planes < nz ? z0 + job.planes : nz;
    const int32 column = threadIdx.x % TV_COLUMNS, line = threadIdx.x / TV_COLUMNS, x = x0 + column, y = y0 + line;
    const int64 row = nx, plane = row * ny;
    const Field<C> field{job.from, row, plane, job.iteration == 0};
    const int32 mine = line * TV_PITCH + column;
    const bool inside = x < nx && y < ny;

    // Row and column beyond the tile are those of the first threads, of which they are a second voxel.
    const bool more = threadIdx.x < TV_COLUMNS + TV_ROWS, below = threadIdx.x < TV_COLUMNS;
    const int32 more_column = below ? threadIdx.x : TV_COLUMNS, more_line = below ? TV_ROWS : threadIdx.x - TV_COLUMNS;
    const int32 more_x = x0 + more_column, more_y = y0 + more_line;

    int64 at = volume * job.size + z0 * plane + y * row + x;  // in the plane that is made
    const int64 more_at = (more_y - y) * row + (more_x - x);
    C here[3], next[3], d = 0, next_d = 0;
    const auto make = [&](int32 z, C* image) {
        if (inside) {
            next_d = field.divergence(at, z, y, x, next);
            image[mine] = job.x[at] + next_d;
        }
        if (more && more_x < nx && more_y < ny) {
            C unused[3];
            image[more_line * TV_PITCH + more_column] =
                job.x[at + more_at] + field.divergence(at + more_at, z, more_y, more_x, unused);
        }
    };
    // One of three images is left alone, so that no thread is overtaken by more than one plane.
    C *image = images[0], *ahead = images[1], *free = images[2];
    make(z0, image);
    float64 squares = 0, sizes = 0;
    for (int32 z = z0; z < z1; z++) {
        for (int32 a = 0; a < 3; a++) here[a] = next[a];
        d = next_d;
        at += plane;
        if (z + 1 < nz) make(z + 1, ahead);
        __syncthreads();
        if (inside) {
            const C u = image[mine];
            const C gz = z + 1 < nz ? ahead[mine] - u : 0;
            const C gy = y + 1 < ny ? image[mine + TV_PITCH] - u : 0;
            const C gx = x + 1 < nx ? image[mine + 1] - u : 0;
            const C size = sqrt(gz * gz + gy * gy + gx * gx), part = 1 / (1 + size * job.ratio);
            squares += float64(d * d);
            sizes += float64(size);
            const int64 to = at - plane;
            if (job.to.z != nullptr) job.to.z[to] = (here[0] - job.step * gz) * part;
            if (job.to.y != nullptr) job.to.y[to] = (here[1] - job.step * gy) * part;
            job.to.x[to] = (here[2] - job.step * gx) * part;
        }
        C* const done = image;
        image = ahead;
        ahead = free;
        free = done;
    }

    const float64 sum = sum_of_block(squares + job.weight * sizes);
    float64* const sums = job.sums + volume * blocks;
    if (threadIdx.x == 0) {
        sums[tile] = sum;
        __threadfence();
        is_last = atomicAdd(&energy.blocks, 1u) == uint32(blocks - 1);
        __threadfence();
    }
    __syncthreads();
    if (!is_last) return;
    // What other blocks wrote is not in this multiprocessor's cache, and must not be looked for there.
    const volatile float64* const all = sums;
    float64 total = 0;
    for (int64 i = threadIdx.x; i < blocks; i += TV_THREADS) total += all[i];
    total = sum_of_block(total) / float64(job.size);
    if (threadIdx.x != 0) return;
    if (job.iteration == 0) energy.first = total;
    else energy.ended = fabs(energy.before - total) < job.eps * energy.first;
    energy.before = total;
    energy.last = job.iteration;
    energy.blocks = 0;
}

// The image as the last iteration saw it.
template <class C>
__global__ void __launch_bounds__(TV_THREADS)
tv_end(const __grid_constant__ TvJob<C> job) {
    const int64 i = int64(blockIdx.x) * TV_THREADS + threadIdx.x;
    if (i >= job.volumes * job.size) return;
    const int32 last = job.energies[i / job.size].last, nx = job.shape[2], ny = job.shape[1];
    const Field<C> field{last % 2 == 0 ? job.from : job.to, nx, int64(nx) * ny, last == 0};
    const int64 line = i / nx;
    C unused[3];
    job.out[i] =
        job.x[i] + field.divergence(i, int32(line / ny % job.shape[0]), int32(line % ny), int32(i % nx), unused);
}
