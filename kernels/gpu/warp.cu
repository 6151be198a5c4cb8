// out[k, b, p] = post_k( interpolation of pre(x)[b] at matrix p )
//
// Coordinates are float64: the start of a row, and one fma along it, exactly as on the CPU. Bytes: the floor is the
// input read once and the output written once; a block makes a compact box, so that its taps come from the caches.
// Cubic gathers 64 taps of the coefficients that three passes (`lines.cuh`, compiled with resample.cu) left in memory.
#include "common.cuh"

constexpr int WARP_ROWS = 4;
constexpr int WARP_PLANES = 2;
// Boxes a thread does one behind the other along z.
constexpr int WARP_STEPS = 4;

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

// The first output of a thread; the next ones follow along z.
struct Place {
    int64 b;
    int32 z, y, x;

    // False when there is no such output.
    __device__ __forceinline__ bool find(const WarpJob& job, uint32 block) {
        x = int32(block % job.blocks[2]) * 32 + threadIdx.x % 32;
        block /= job.blocks[2];
        y = int32(block % job.blocks[1]) * WARP_ROWS + threadIdx.x / 32 % WARP_ROWS;
        block /= job.blocks[1];
        z = int32(block % job.blocks[0]) * (WARP_PLANES * WARP_STEPS) + threadIdx.x / (32 * WARP_ROWS);
        b = block / job.blocks[0];
        return x < job.shape[3] && y < job.shape[2];
    }
    __device__ __forceinline__ int64 offset(const WarpJob& job) const {
        return b * job.o_strides[0] + y * job.o_strides[2] + x;
    }
};

// The input index along one axis, of outputs that differ in z alone.
struct Track {
    float64 step, origin, row, x, slope;
    int32 n;

    __device__ __forceinline__ Track(const WarpJob& job, int axis, const Place& p)
        : step(job.matrix[axis][0]), origin(job.matrix[axis][3]), row(job.matrix[axis][1] * p.y), x(p.x),
          slope(job.matrix[axis][2]), n(job.size[axis]) {}

    __device__ __forceinline__ float64 at(int32 z) const { return fused(x, slope, step * z + origin + row); }
};

// Half a voxel around the field: the half-open buffer rule of ITK.
__device__ __forceinline__ bool is_inside(float64 c, int32 n) { return -0.5 <= c && c < n - 0.5; }

__device__ __forceinline__ int64 nearest(float64 c, int32 n) {
    const float64 i = floor(c + 0.5);
    return i < 0 ? 0 : i > n - 1 ? n - 1 : int64(i);
}

template <class C>
struct Linear {
    int64 low, high;
    C share;

    __device__ __forceinline__ Linear(float64 c, int32 n, int64 stride) {
        const float64 held = c < 0 ? 0 : c > n - 1.0 ? n - 1.0 : c;
        const int32 first = int32(held);
        share = C(held - first);
        low = first * stride;
        high = (first + 1 < n ? first + 1 : n - 1) * stride;
    }
};

template <class C>
struct Cubic {
    int64 at[4];
    C w[4];

    __device__ __forceinline__ Cubic(float64 c, int32 n, int64 stride) {
        const float64 base = floor(c), t = c - base, u = 1 - t;
        const int32 first = int32(base) - 1, period = n > 1 ? 2 * n - 2 : 1;
#pragma unroll
        for (int i = 0; i < 4; i++) {
            // Mirrored about the centres of the first and last voxel.
            int32 k = (first + i) % period;
            k = k < 0 ? k + period : k;
            at[i] = (k >= n ? period - k : k) * stride;
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

constexpr int WARP_THREADS = 32 * WARP_ROWS * WARP_PLANES;

// Exact copies of the nearest voxel: bits move as words of their width.
template <class Word>
__global__ void __launch_bounds__(WARP_THREADS)
copy_nearest(const __grid_constant__ WarpJob one, const Jobs<WarpJob> jobs) {
    uint32 block;
    const WarpJob& job = find_job(one, jobs, block);
    Place p;
    if (!p.find(job, block)) return;
    const Track tz(job, 0, p), ty(job, 1, p), tx(job, 2, p);
    const Word* const x = static_cast<const Word*>(job.x) + p.b * job.strides[0];
    const int64 sz = job.strides[1], sy = job.strides[2], sx = job.strides[3], plane = job.o_strides[1];
    Word* const out = static_cast<Word*>(job.out) + p.offset(job);
    const Word fill = Word(job.fill);
    const int32 depth = job.shape[1];
#pragma unroll 1
    for (int i = 0; i < WARP_STEPS && p.z < depth; i++, p.z += WARP_PLANES) {
        const float64 cz = tz.at(p.z), cy = ty.at(p.z), cx = tx.at(p.z);
        Word value = fill;
        if (is_inside(cz, tz.n) && is_inside(cy, ty.n) && is_inside(cx, tx.n)) {
            value = x[nearest(cz, tz.n) * sz + nearest(cy, ty.n) * sy + nearest(cx, tx.n) * sx];
        }
        out[p.z * plane] = value;
    }
}

// At least two blocks on a multiprocessor: told so, the compiler does not spill for the sake of more.
template <class In, class Out, int ORDER>
__global__ void __launch_bounds__(WARP_THREADS, 2)
warp(const __grid_constant__ WarpJob one, const Jobs<WarpJob> jobs) {
    using C = Compute<In, Out>;
    uint32 block;
    const WarpJob& job = find_job(one, jobs, block);
    Place p;
    if (!p.find(job, block)) return;
    const Track tz(job, 0, p), ty(job, 1, p), tx(job, 2, p);
    const In* const x = static_cast<const In*>(job.x) + p.b * job.strides[0];
    const int64 sz = job.strides[1], sy = job.strides[2], sx = job.strides[3], plane = job.o_strides[1];
    Out* const first = static_cast<Out*>(job.out) + p.offset(job);
    const int32 depth = job.shape[1];
    const Ramp<C> pre(job.pre);
    const bool mapped = !pre.is_identity();
    const Finish<C, Out> finish(job.channels);
    const auto voxel = [=](int64 at) { return number<C>(x[at]); };
#pragma unroll 1
    for (int i = 0; i < WARP_STEPS && p.z < depth; i++, p.z += WARP_PLANES) {
        Out* const out = first + p.z * plane;
        const float64 cz = tz.at(p.z), cy = ty.at(p.z), cx = tx.at(p.z);
        if (!(is_inside(cz, tz.n) && is_inside(cy, ty.n) && is_inside(cx, tx.n))) {
            finish_outside(job.channels, out);
            continue;
        }
        C value;
        if constexpr (ORDER == 0) {
            value = voxel(nearest(cz, tz.n) * sz + nearest(cy, ty.n) * sy + nearest(cx, tx.n) * sx);
            if (mapped) value = pre(value);
        } else if constexpr (ORDER == 1) {
            const Linear<C> z(cz, tz.n, sz), y(cy, ty.n, sy), v(cx, tx.n, sx);
            C v0 = voxel(z.low + y.low + v.low), v1 = voxel(z.low + y.low + v.high);
            C v2 = voxel(z.low + y.high + v.low), v3 = voxel(z.low + y.high + v.high);
            C v4 = voxel(z.high + y.low + v.low), v5 = voxel(z.high + y.low + v.high);
            C v6 = voxel(z.high + y.high + v.low), v7 = voxel(z.high + y.high + v.high);
            if (mapped) {
                v0 = pre(v0), v1 = pre(v1), v2 = pre(v2), v3 = pre(v3);
                v4 = pre(v4), v5 = pre(v5), v6 = pre(v6), v7 = pre(v7);
            }
            v0 = lerp(v0, v1, v.share), v2 = lerp(v2, v3, v.share);
            v4 = lerp(v4, v5, v.share), v6 = lerp(v6, v7, v.share);
            value = lerp(lerp(v0, v2, y.share), lerp(v4, v6, y.share), z.share);
        } else {
            const Cubic<C> z(cz, tz.n, sz), y(cy, ty.n, sy), v(cx, tx.n, sx);
            value = C(0);
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
        }
        finish(out, value);
    }
}
