// out[k, b, z, y, x] = post_k( sum_tuv wz[t, z] wy[u, y] wx[v, x] * pre(x[b, iz[t, z], iy[u, y], ix[v, x]]) )
//
// Nearest and linear: one read, one write (`gather`). Bytes: the floor is the input read once in its own dtype and the
// output written once; eight neighbours come from the first-level cache. More taps, and cubic: three passes along
// y, x, z (`lines.cuh`), float32 between them, the outputs outside the input by `frame`.
#include "lines.cuh"

constexpr int GATHER_ROWS = 8;
// Output planes of a thread: its x and y tables stay in registers, and planes shared by two outputs are blended once.
constexpr int GATHER_PLANES = 16;

struct GatherJob {
    const void* x;
    void* out;
    const int32* index[3];  // (taps, outputs) of z, y, x
    const void* weight[3];  // the same, in the type computed in
    int64 strides[4];
    int64 o_strides[3];  // of b, z, y; neighbours in x are neighbours in memory
    int32 shape[4];  // of the output: b, z, y, x
    int32 inside[3][2];
    int32 blocks[3];  // along z, y, x
    int32 padding;
    float64 pre[4];
    Channels channels;
};

// The outputs of a thread: one column of planes first <= z < last.
struct Column {
    int64 b;
    int32 x, y, first, last;
    bool exists, covered;  // by the box of outputs that have a source, in x and y

    __device__ __forceinline__ Column(const GatherJob& job, uint32 block) {
        x = int32(block % job.blocks[2]) * 32 + threadIdx.x % 32;
        block /= job.blocks[2];
        y = int32(block % job.blocks[1]) * GATHER_ROWS + threadIdx.x / 32;
        block /= job.blocks[1];
        first = int32(block % job.blocks[0]) * GATHER_PLANES;
        b = block / job.blocks[0];
        last = first + GATHER_PLANES < job.shape[1] ? first + GATHER_PLANES : job.shape[1];
        exists = x < job.shape[3] && y < job.shape[2];
        covered = job.inside[1][0] <= y && y < job.inside[1][1] && job.inside[2][0] <= x && x < job.inside[2][1];
    }
    template <class Out>
    __device__ __forceinline__ Out* out(const GatherJob& job) const {
        return static_cast<Out*>(job.out) + b * job.o_strides[0] + first * job.o_strides[1] + y * job.o_strides[2] + x;
    }
};

template <class In, class Out, int TAPS>
__global__ void __launch_bounds__(32 * GATHER_ROWS)
gather(const __grid_constant__ GatherJob one, const Jobs<GatherJob> jobs) {
    using C = Compute<In, Out>;
    uint32 block;
    const GatherJob& job = find_job(one, jobs, block);
    const Column column(job, block);
    if (!column.exists) return;
    const int32 x = column.x, y = column.y, first = column.first, last = column.last;
    const int32 depth = job.shape[1], height = job.shape[2], width = job.shape[3];
    const int64 plane = job.o_strides[1];
    Out* out = column.out<Out>(job);
    if (!column.covered) {
        for (int32 z = first; z < last; z++, out += plane) finish_outside(job.channels, out);
        return;
    }
    const Ramp<C> pre(job.pre);
    const bool mapped = !pre.is_identity();
    const Finish<C, Out> finish(job.channels);
    const In* const source = static_cast<const In*>(job.x) + column.b * job.strides[0];
    const int32 begin = job.inside[0][0], end = job.inside[0][1];
    const int32* const iz = job.index[0];
    const C* const wz = static_cast<const C*>(job.weight[0]);
    const int32 iy = job.index[1][y], ix = job.index[2][x];
    const int64 sz = job.strides[1], sy = job.strides[2], sx = job.strides[3];
    const In* const p00 = source + iy * sy + ix * sx;
    if constexpr (TAPS == 1) {
        const C wx = static_cast<const C*>(job.weight[2])[x], wy = static_cast<const C*>(job.weight[1])[y];
        for (int32 z = first; z < last; z++, out += plane) {
            if (z < begin || z >= end) {
                finish_outside(job.channels, out);
            } else {
                const C value = number<C>(p00[iz[z] * sz]);
                finish(out, (mapped ? pre(value) : value) * wx * wy * wz[z]);
            }
        }
    } else {
        const int32 jy = job.index[1][height + y], jx = job.index[2][width + x];
        const In *const p01 = source + iy * sy + jx * sx, *const p10 = source + jy * sy + ix * sx,
                 *const p11 = source + jy * sy + jx * sx;
        const C wx = static_cast<const C*>(job.weight[2])[width + x];
        const C wy = static_cast<const C*>(job.weight[1])[height + y];
        const auto blend = [=](int64 at) {
            C v0 = number<C>(p00[at]), v1 = number<C>(p01[at]), v2 = number<C>(p10[at]), v3 = number<C>(p11[at]);
            if (mapped) v0 = pre(v0), v1 = pre(v1), v2 = pre(v2), v3 = pre(v3);
            const C low = v0 + (v1 - v0) * wx, high = v2 + (v3 - v2) * wx;
            return low + (high - low) * wy;
        };
        int32 held = -1;
        C upper = C(0);
        for (int32 z = first; z < last; z++, out += plane) {
            if (z < begin || z >= end) {
                finish_outside(job.channels, out);
                continue;
            }
            const int32 i0 = iz[z], i1 = iz[depth + z];
            const C lower = i0 == held ? upper : blend(i0 * sz);
            upper = i1 == i0 ? lower : blend(i1 * sz);
            held = i1;
            finish(out, lower + (upper - lower) * wz[depth + z]);
        }
    }
}

// What lies outside the box of outputs that have a source.
template <class Out>
__global__ void __launch_bounds__(32 * GATHER_ROWS)
frame(const __grid_constant__ GatherJob one, const Jobs<GatherJob> jobs) {
    uint32 block;
    const GatherJob& job = find_job(one, jobs, block);
    const Column column(job, block);
    if (!column.exists) return;
    Out* out = column.out<Out>(job);
    for (int32 z = column.first; z < column.last; z++, out += job.o_strides[1]) {
        if (column.covered && job.inside[0][0] <= z && z < job.inside[0][1]) continue;
        finish_outside(job.channels, out);
    }
}
