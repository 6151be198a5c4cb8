// The largest component of a mask, its holes filled: union-find over voxels, whose trees are cut down by atomicMin
//
// Bytes: the mask once, and a label per voxel and one of a second volume some ten times. A label is the index of an
// earlier voxel of the component, so the root is its first voxel whatever the order of the blocks. Only where two runs
// begin to overlap are they joined, and a warp adds what is of one component before it counts.
#include "common.cuh"

constexpr int SOLID_THREADS = 256;

template <class T>
struct Unsigned { using type = uint32; };
template <>
struct Unsigned<int64> { using type = uint64; };

// Label is int32, or int64 where there are too many voxels for it.
template <class Label>
struct SolidJob {
    const uint8* mask;
    uint8* out;
    Label* labels;  // of the mask's components; then whether a root of the gaps is outside
    Label* gaps;  // voxels of a root; then labels of what is not the largest component
    Label* most;  // of each volume: voxels of the largest component, and its root
    int64 strides[4];
    int64 size;
    int32 shape[4];
};

struct Place {
    int32 b, z, y, x;

    // Division takes twice as long or more where indices need 64 bits.
    template <class Index>
    __device__ __forceinline__ Place(Index i, const int32* shape) {
        const Index nz = shape[1], ny = shape[2], nx = shape[3];
        x = int32(i % nx);
        i /= nx;
        y = int32(i % ny);
        i /= ny;
        z = int32(i % nz);
        b = int32(i / nz);
    }
};

__device__ __forceinline__ int64 voxel() { return int64(blockIdx.x) * SOLID_THREADS + threadIdx.x; }

// Where the run of this voxel begins, within its warp: all lanes ask, -1 where ``set`` is false.
template <class Label>
__device__ __forceinline__ Label run_begin(bool set, int64 i, int32 x) {
    const int32 lane = threadIdx.x % 32;
    const uint32 filled = __ballot_sync(0xffffffffu, set), rows = __ballot_sync(0xffffffffu, x == 0);
    const uint32 upto = 0xffffffffu >> (31 - lane);
    // It begins after the last gap, or where the row does.
    const int32 gap = 32 - __clz(int32(~filled & upto)), row = 31 - __clz(int32(rows & upto));
    return set ? Label(i - lane + (row > gap ? row : gap)) : Label(-1);
}

template <class Label>
__device__ __forceinline__ Label root(const volatile Label* labels, Label i) {
    Label up = labels[i];
    while (up != i) {
        i = up;
        up = labels[i];
    }
    return i;
}

template <class Label>
__device__ void unite(Label* labels, Label a, Label b) {
    for (;;) {
        a = root(labels, a);
        b = root(labels, b);
        if (a == b) return;
        const Label low = a < b ? a : b, high = a < b ? b : a;
        const Label before = atomicMin(labels + high, low);
        if (before == high) return;
        // Another thread was here first: what it wrote is to be joined, too.
        a = low;
        b = before;
    }
}

template <class Label>
__global__ void __launch_bounds__(SOLID_THREADS)
solid_start(const __grid_constant__ SolidJob<Label> job) {
    const int64 i = voxel();
    const Place at(typename Unsigned<Label>::type(i), job.shape);
    bool set = false;
    if (i < job.size) {
        set = job.mask[at.b * job.strides[0] + at.z * job.strides[1] + at.y * job.strides[2] + at.x * job.strides[3]];
        if (at.z == 0 && at.y == 0 && at.x == 0) {
            job.most[2 * at.b] = 0;
            job.most[2 * at.b + 1] = Label(job.size);
        }
    }
    const Label begin = run_begin<Label>(set, i, at.x);
    if (i >= job.size) return;
    job.labels[i] = begin;
    job.gaps[i] = 0;
}

// Joined with what comes before it: with CORNERS of all 26 neighbours, else of the 6 at its faces.
template <class Label, bool CORNERS>
__global__ void __launch_bounds__(SOLID_THREADS)
solid_join(const __grid_constant__ SolidJob<Label> job) {
    const int64 i = voxel();
    if (i >= job.size) return;
    Label* const labels = CORNERS ? job.labels : job.gaps;
    const volatile Label* const seen = labels;
    if (seen[i] < 0) return;
    const Place at(typename Unsigned<Label>::type(i), job.shape);
    const int32 nx = job.shape[3];
    const bool left = at.x > 0 && seen[i - 1] >= 0, right = at.x + 1 < nx && seen[i + 1] >= 0;
    if (left && threadIdx.x % 32 == 0) unite(labels, Label(i), Label(i - 1));
    for (int32 dz = -1; dz <= 0; dz++) {
        if (at.z + dz < 0) continue;
        for (int32 dy = -1; dy <= (dz == 0 ? -1 : 1); dy++) {
            if (!CORNERS && dz * dy != 0) continue;
            if (at.y + dy < 0 || at.y + dy >= job.shape[2]) continue;
            const int64 j = i + (int64(dz) * job.shape[2] + dy) * nx;
            const bool before = at.x > 0 && seen[j - 1] >= 0;
            // A neighbour that this voxel's own neighbour in the row has too is left to that one.
            if (seen[j] >= 0) {
                if (!(left && before)) unite(labels, Label(i), Label(j));
            } else if (CORNERS) {
                if (before && !left) unite(labels, Label(i), Label(j - 1));
                if (!right && at.x + 1 < nx && seen[j + 1] >= 0) unite(labels, Label(i), Label(j + 1));
            }
        }
    }
}

// Every voxel's root, and how many voxels each has.
template <class Label>
__global__ void __launch_bounds__(SOLID_THREADS)
solid_count(const __grid_constant__ SolidJob<Label> job) {
    const int64 i = voxel();
    const int32 lane = threadIdx.x % 32;
    Label mine = -1;
    if (i < job.size && static_cast<const volatile Label*>(job.labels)[i] >= 0) {
        mine = root(job.labels, Label(i));
        job.labels[i] = mine;
    }
    // A lane counts for those after it that are of the same component.
    const Label before = __shfl_up_sync(0xffffffffu, mine, 1);
    const bool leads = lane == 0 || before != mine;
    const uint32 leaders = __ballot_sync(0xffffffffu, leads);
    if (!leads || mine < 0) return;
    const uint32 later = lane == 31 ? 0 : leaders >> (lane + 1);
    const int32 many = later == 0 ? 32 - lane : __ffs(int32(later));
    atomicAdd(reinterpret_cast<typename Unsigned<Label>::type*>(job.gaps + mine), many);
}

template <class Label>
__global__ void __launch_bounds__(SOLID_THREADS)
solid_most(const __grid_constant__ SolidJob<Label> job) {
    const int64 i = voxel();
    if (i >= job.size || job.labels[i] != i) return;
    Label* const most = job.most + 2 * Place(typename Unsigned<Label>::type(i), job.shape).b;
    if (job.gaps[i] > *static_cast<volatile Label*>(most)) atomicMax(most, job.gaps[i]);
}

template <class Label>
__global__ void __launch_bounds__(SOLID_THREADS)
solid_first(const __grid_constant__ SolidJob<Label> job) {
    const int64 i = voxel();
    if (i >= job.size || job.labels[i] != i) return;
    Label* const most = job.most + 2 * Place(typename Unsigned<Label>::type(i), job.shape).b;
    if (job.gaps[i] == most[0]) atomicMin(most + 1, Label(i));
}

// What is not the largest component, from here on in the gaps.
template <class Label>
__global__ void __launch_bounds__(SOLID_THREADS)
solid_rest(const __grid_constant__ SolidJob<Label> job) {
    const int64 i = voxel();
    const Place at(typename Unsigned<Label>::type(i), job.shape);
    const bool rest = i < job.size && job.labels[i] != job.most[2 * at.b + 1];
    const Label begin = run_begin<Label>(rest, i, at.x);
    if (i >= job.size) return;
    job.gaps[i] = begin;
    job.labels[i] = 0;
}

// Every gap's root, and which of them touch the border; an axis of one voxel has none, where another is longer.
template <class Label>
__global__ void __launch_bounds__(SOLID_THREADS)
solid_border(const __grid_constant__ SolidJob<Label> job) {
    const int64 i = voxel();
    if (i >= job.size || static_cast<const volatile Label*>(job.gaps)[i] < 0) return;
    const Label mine = root(job.gaps, Label(i));
    job.gaps[i] = mine;
    const Place at(typename Unsigned<Label>::type(i), job.shape);
    const int32 where[3] = {at.z, at.y, at.x};
    bool border = job.shape[1] == 1 && job.shape[2] == 1 && job.shape[3] == 1;
#pragma unroll
    for (int32 axis = 0; axis < 3; axis++) {
        const int32 n = job.shape[axis + 1];
        border = border || (n > 1 && (where[axis] == 0 || where[axis] == n - 1));
    }
    if (border) job.labels[mine] = 1;
}

template <class Label>
__global__ void __launch_bounds__(SOLID_THREADS)
solid_write(const __grid_constant__ SolidJob<Label> job) {
    const int64 i = voxel();
    if (i >= job.size) return;
    const Label gap = job.gaps[i];
    job.out[i] = gap < 0 || job.labels[gap] == 0;
}
