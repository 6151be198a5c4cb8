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

// The output of a thread, step by step, and where it lies in the input.
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
        return b * job.o_strides[0] + z * job.o_strides[1] + y * job.o_strides[2] + x;
    }
    __device__ __forceinline__ float64 along(const float64* row) const {
        return fused(float64(x), row[2], row[0] * z + row[3] + row[1] * y);
    }
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
    const Word* const x = static_cast<const Word*>(job.x) + p.b * job.strides[0];
    for (int i = 0; i < WARP_STEPS && p.z < job.shape[1]; i++, p.z += WARP_PLANES) {
        const float64 cz = p.along(job.matrix[0]), cy = p.along(job.matrix[1]), cx = p.along(job.matrix[2]);
        Word value = Word(job.fill);
        if (is_inside(cz, job.size[0]) && is_inside(cy, job.size[1]) && is_inside(cx, job.size[2])) {
            value = x[nearest(cz, job.size[0]) * job.strides[1] + nearest(cy, job.size[1]) * job.strides[2] +
                      nearest(cx, job.size[2]) * job.strides[3]];
        }
        static_cast<Word*>(job.out)[p.offset(job)] = value;
    }
}

template <class In, class Out, int ORDER>
__global__ void __launch_bounds__(WARP_THREADS)
warp(const __grid_constant__ WarpJob one, const Jobs<WarpJob> jobs) {
    using C = Compute<In, Out>;
    uint32 block;
    const WarpJob& job = find_job(one, jobs, block);
    Place p;
    if (!p.find(job, block)) return;
    const In* const x = static_cast<const In*>(job.x) + p.b * job.strides[0];
    const Ramp<C> pre(job.pre);
    const auto voxel = [=](int64 at) { return pre(number<C>(x[at])); };
    for (int i = 0; i < WARP_STEPS && p.z < job.shape[1]; i++, p.z += WARP_PLANES) {
        Out* const out = static_cast<Out*>(job.out) + p.offset(job);
        const float64 cz = p.along(job.matrix[0]), cy = p.along(job.matrix[1]), cx = p.along(job.matrix[2]);
        if (!(is_inside(cz, job.size[0]) && is_inside(cy, job.size[1]) && is_inside(cx, job.size[2]))) {
            finish_outside(job.channels, out);
            continue;
        }
        C value;
        if constexpr (ORDER == 0) {
            value = voxel(nearest(cz, job.size[0]) * job.strides[1] + nearest(cy, job.size[1]) * job.strides[2] +
                          nearest(cx, job.size[2]) * job.strides[3]);
        } else if constexpr (ORDER == 1) {
            const Linear<C> z(cz, job.size[0], job.strides[1]), y(cy, job.size[1], job.strides[2]);
            const Linear<C> v(cx, job.size[2], job.strides[3]);
            const C v0 = lerp(voxel(z.low + y.low + v.low), voxel(z.low + y.low + v.high), v.share);
            const C v2 = lerp(voxel(z.low + y.high + v.low), voxel(z.low + y.high + v.high), v.share);
            const C v4 = lerp(voxel(z.high + y.low + v.low), voxel(z.high + y.low + v.high), v.share);
            const C v6 = lerp(voxel(z.high + y.high + v.low), voxel(z.high + y.high + v.high), v.share);
            value = lerp(lerp(v0, v2, y.share), lerp(v4, v6, y.share), z.share);
        } else {
            const Cubic<C> z(cz, job.size[0], job.strides[1]), y(cy, job.size[1], job.strides[2]);
            const Cubic<C> v(cx, job.size[2], job.strides[3]);
            value = C(0);
#pragma unroll
            for (int k = 0; k < 4; k++) {
                C plane = C(0);
#pragma unroll
                for (int j = 0; j < 4; j++) {
                    const In* const row = x + z.at[k] + y.at[j];
                    const C sum = v.w[0] * number<C>(row[v.at[0]]) + v.w[1] * number<C>(row[v.at[1]]) +
                                  v.w[2] * number<C>(row[v.at[2]]) + v.w[3] * number<C>(row[v.at[3]]);
                    plane += y.w[j] * sum;
                }
                value += z.w[k] * plane;
            }
        }
        finish(job.channels, out, value);
    }
}
