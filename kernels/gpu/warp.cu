// out[k, b, p] = post_k( interpolation of pre(x)[b] at matrix p )
//
// Coordinates are float64: the start of a row, and one fma along it, exactly as on the CPU. Bytes: the floor is the
// input read once and the output written once; a block makes a compact box, so that its taps come from the caches. What
// costs then is arithmetic in float64, so a row's start is found once, and with it whether all of the row needs neither
// test nor clamp: along a row the input index is monotone, so its two ends tell.
// Cubic gathers 64 taps of the coefficients that three passes (`lines.cuh`, compiled with resample.cu) left in memory.
#include "common.cuh"

// A block makes a box of 32 x 4 x 8 outputs; a warp does a row of it at a time.
constexpr int BOX_X = 32;
constexpr int BOX_Y = 4;
constexpr int BOX_Z = 8;
constexpr int BOX_ROWS = BOX_Y * BOX_Z;
constexpr int WARP_THREADS = 256;

struct WarpJob {
    const void* x;
    void* out;
    int64 strides[4];
    int64 o_strides[3];  // of b, z, y
    int32 size[3];  // of the input: z, y, x
    int32 shape[4];  // of the output: b, z, y, x
    int32 blocks[3];  // along z, y, x
    float64 matrix[3][4];
    float64 pre[4];
    uint64 fill;  // of an exact copy
    Channels channels;
};

// Half a voxel around the field: the half-open buffer rule of ITK.
__device__ __forceinline__ bool is_inside(float64 c, int32 n) { return -0.5 <= c && c < n - 0.5; }

enum RowKind : int32 { OUTSIDE, INTERIOR, MIXED };

// Where a row of outputs begins in the input, and whether all its taps lie there.
struct Row {
    float64 start[3];
    int32 kind;
};

// REACH voxels more than a linear interpolation needs are read on each side.
template <int REACH>
__device__ __forceinline__ Row find_row(const WarpJob& job, int32 z, int32 y, int32 x0) {
    Row row;
    bool interior = true, outside = false;
    const int32 x1 = (x0 + BOX_X < job.shape[3] ? x0 + BOX_X : job.shape[3]) - 1;
    for (int axis = 0; axis < 3; axis++) {
        const float64* const m = job.matrix[axis];
        const int32 n = job.size[axis];
        const float64 start = m[0] * z + m[3] + m[1] * y;
        const float64 a = fused(float64(x0), m[2], start), b = fused(float64(x1), m[2], start);
        // A single plane is its own neighbour.
        const float64 low = n == 1 ? -0.5 : REACH, high = n == 1 ? 0.5 : n - 1.0 - REACH;
        interior = interior && low <= a && a < high && low <= b && b < high;
        outside = outside || (a < -0.5 && b < -0.5) || (a >= n - 0.5 && b >= n - 0.5);
        row.start[axis] = start;
    }
    row.kind = outside ? OUTSIDE : interior ? INTERIOR : MIXED;
    return row;
}

// Every output of the block's box: inside(at, cz, cy, cx, interior), at its offset and input index, or outside(at).
template <int REACH, class Inside, class Outside>
__device__ __forceinline__ void walk(const WarpJob& job, uint32 block, const Inside& inside, const Outside& outside) {
    __shared__ Row rows[BOX_ROWS];
    const int32 x0 = int32(block % job.blocks[2]) * BOX_X;
    block /= job.blocks[2];
    const int32 y0 = int32(block % job.blocks[1]) * BOX_Y;
    block /= job.blocks[1];
    const int32 z0 = int32(block % job.blocks[0]) * BOX_Z;
    const int64 b = block / job.blocks[0];
    if (threadIdx.x < BOX_ROWS) {
        rows[threadIdx.x] = find_row<REACH>(job, z0 + threadIdx.x / BOX_Y, y0 + threadIdx.x % BOX_Y, x0);
    }
    __syncthreads();
    const int32 x = x0 + threadIdx.x % 32, height = job.shape[2], depth = job.shape[1];
    if (x >= job.shape[3]) return;
    const float64 along = x, mz = job.matrix[0][2], my = job.matrix[1][2], mx = job.matrix[2][2];
    const int32 nz = job.size[0], ny = job.size[1], nx = job.size[2];
    const int64 plane = job.o_strides[1], line = job.o_strides[2], first = b * job.o_strides[0] + x;
#pragma unroll 1
    for (int32 r = threadIdx.x / 32; r < BOX_ROWS; r += WARP_THREADS / 32) {
        const int32 y = y0 + r % BOX_Y, z = z0 + r / BOX_Y;
        if (y >= height || z >= depth) continue;
        const int64 at = first + z * plane + y * line;
        const int32 kind = rows[r].kind;
        const float64 cz = fused(along, mz, rows[r].start[0]), cy = fused(along, my, rows[r].start[1]);
        const float64 cx = fused(along, mx, rows[r].start[2]);
        if (kind == INTERIOR) {
            inside(at, cz, cy, cx, true);
        } else if (kind == MIXED && is_inside(cz, nz) && is_inside(cy, ny) && is_inside(cx, nx)) {
            inside(at, cz, cy, cx, false);
        } else {
            outside(at);
        }
    }
}

__device__ __forceinline__ int32 clamped(int32 i, int32 n) { return i < 0 ? 0 : i > n - 1 ? n - 1 : i; }

// Offset of the nearest voxel, ties upward.
__device__ __forceinline__ int64 nearest(const WarpJob& job, float64 cz, float64 cy, float64 cx) {
    return clamped(Floor(cz + 0.5).index, job.size[0]) * job.strides[1] +
           clamped(Floor(cy + 0.5).index, job.size[1]) * job.strides[2] +
           clamped(Floor(cx + 0.5).index, job.size[2]) * job.strides[3];
}

// Exact copies of the nearest voxel: bits move as words of their width.
template <class Word>
__global__ void __launch_bounds__(WARP_THREADS)
copy_nearest(const __grid_constant__ WarpJob one, const Jobs<WarpJob> jobs) {
    uint32 block;
    const WarpJob& job = find_job(one, jobs, block);
    const uint32 batch = block / (job.blocks[0] * job.blocks[1] * job.blocks[2]);
    const Word* const x = static_cast<const Word*>(job.x) + batch * job.strides[0];
    Word* const out = static_cast<Word*>(job.out);
    walk<0>(
        job, block,
        [&](int64 at, float64 cz, float64 cy, float64 cx, bool) { out[at] = x[nearest(job, cz, cy, cx)]; },
        [&](int64 at) { out[at] = Word(job.fill); });
}

// Two neighbours along an axis, as offsets, and the share of the second.
template <class C>
struct Linear {
    int64 low, high;
    C share;

    __device__ __forceinline__ Linear(float64 c, int32 n, int64 stride, bool interior) {
        if (interior) {
            const Floor base(c);
            share = C(c - base.value);
            low = base.index * stride;
            high = low + stride;
        } else {
            const float64 held = c < 0 ? 0 : c > n - 1.0 ? n - 1.0 : c;
            const int32 first = int32(held);
            share = C(held - first);
            low = first * stride;
            high = (first + 1 < n ? first + 1 : n - 1) * stride;
        }
    }
};

// Four neighbours along an axis, as offsets, and their B-spline weights.
template <class C>
struct Cubic {
    int64 at[4];
    C w[4];

    __device__ __forceinline__ Cubic(float64 c, int32 n, int64 stride, bool interior) {
        const Floor base(c);
        const float64 t = c - base.value, u = 1 - t;
        const int32 first = base.index - 1;
        if (interior) {
#pragma unroll
            for (int i = 0; i < 4; i++) at[i] = (first + i) * stride;
        } else {
            const int32 period = n > 1 ? 2 * n - 2 : 1;
#pragma unroll
            for (int i = 0; i < 4; i++) {
                // Mirrored about the centres of the first and last voxel.
                int32 k = (first + i) % period;
                k = k < 0 ? k + period : k;
                at[i] = (k >= n ? period - k : k) * stride;
            }
        }
        const float64 w0 = u * (u * u) / 6, t3 = t * (t * t), w1 = (3 * t3 - 6 * (t * t) + 4) / 6, w3 = t3 / 6;
        w[0] = C(w0);
        w[1] = C(w1);
        w[2] = C(1 - (w0 + w1 + w3));
        w[3] = C(w3);
    }
};

template <class C>
__device__ __forceinline__ C lerp(C a, C b, C t) { return fused(b - a, t, a); }

template <class C, class In>
__device__ __forceinline__ C trilinear(const In* x, const Linear<C>& z, const Linear<C>& y, const Linear<C>& v,
                                       bool mapped, const WarpJob& job) {
    C v0 = number<C>(x[z.low + y.low + v.low]), v1 = number<C>(x[z.low + y.low + v.high]);
    C v2 = number<C>(x[z.low + y.high + v.low]), v3 = number<C>(x[z.low + y.high + v.high]);
    C v4 = number<C>(x[z.high + y.low + v.low]), v5 = number<C>(x[z.high + y.low + v.high]);
    C v6 = number<C>(x[z.high + y.high + v.low]), v7 = number<C>(x[z.high + y.high + v.high]);
    if (mapped) {
        const Ramp<C> pre(job.pre);
        v0 = pre(v0), v1 = pre(v1), v2 = pre(v2), v3 = pre(v3);
        v4 = pre(v4), v5 = pre(v5), v6 = pre(v6), v7 = pre(v7);
    }
    v0 = lerp(v0, v1, v.share), v2 = lerp(v2, v3, v.share);
    v4 = lerp(v4, v5, v.share), v6 = lerp(v6, v7, v.share);
    return lerp(lerp(v0, v2, y.share), lerp(v4, v6, y.share), z.share);
}

template <class C, class In>
__device__ __forceinline__ C tricubic(const In* x, const Cubic<C>& z, const Cubic<C>& y, const Cubic<C>& v) {
    C value = C(0);
#pragma unroll
    for (int k = 0; k < 4; k++) {
        C sheet = C(0);
#pragma unroll
        for (int j = 0; j < 4; j++) {
            const In* const row = x + z.at[k] + y.at[j];
            const C sum = v.w[0] * number<C>(row[v.at[0]]) + v.w[1] * number<C>(row[v.at[1]]) +
                          v.w[2] * number<C>(row[v.at[2]]) + v.w[3] * number<C>(row[v.at[3]]);
            sheet += y.w[j] * sum;
        }
        value += z.w[k] * sheet;
    }
    return value;
}

template <class In, class Out, int ORDER>
__global__ void __launch_bounds__(WARP_THREADS)
warp(const __grid_constant__ WarpJob one, const Jobs<WarpJob> jobs) {
    using C = Compute<In, Out>;
    uint32 block;
    const WarpJob& job = find_job(one, jobs, block);
    const uint32 batch = block / (job.blocks[0] * job.blocks[1] * job.blocks[2]);
    const In* const x = static_cast<const In*>(job.x) + batch * job.strides[0];
    Out* const out = static_cast<Out*>(job.out);
    const int32 nz = job.size[0], ny = job.size[1], nx = job.size[2];
    // A single plane is its own neighbour.
    const int64 sz = nz > 1 ? job.strides[1] : 0, sy = ny > 1 ? job.strides[2] : 0, sx = nx > 1 ? job.strides[3] : 0;
    const bool mapped = !Ramp<C>(job.pre).is_identity();
    const Finish<C, Out> finish(job.channels);
    const auto outside = [&](int64 at) { finish_outside(job.channels, out + at); };
    if constexpr (ORDER == 0) {
        walk<0>(
            job, block,
            [&](int64 at, float64 cz, float64 cy, float64 cx, bool) {
                const C value = number<C>(x[nearest(job, cz, cy, cx)]);
                finish(out + at, mapped ? Ramp<C>(job.pre)(value) : value);
            },
            outside);
    } else if constexpr (ORDER == 1) {
        walk<0>(
            job, block,
            [&](int64 at, float64 cz, float64 cy, float64 cx, bool interior) {
                const Linear<C> z(cz, nz, sz, interior), y(cy, ny, sy, interior), v(cx, nx, sx, interior);
                finish(out + at, trilinear(x, z, y, v, mapped, job));
            },
            outside);
    } else {
        walk<1>(
            job, block,
            [&](int64 at, float64 cz, float64 cy, float64 cx, bool interior) {
                const Cubic<C> z(cz, nz, sz, interior), y(cy, ny, sy, interior), v(cx, nx, sx, interior);
                finish(out + at, tricubic(x, z, y, v));
            },
            outside);
    }
}
