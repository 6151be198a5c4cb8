// Passes along one axis: a volume in, a volume with another length along that axis out.
//
// `band` sums a few weighted taps. `columns` and `rows` first turn the line into its cubic B-spline coefficients
// (Unser 1999: pole sqrt(3) - 2, a causal and an anticausal recursion, mirror boundary). A long line is cut into
// segments, each a thread's own: the recursions start 32 voxels outside it, where |pole|^32 = 5e-19 has forgotten the
// start. So a line is read once but for those halos, and its coefficients never leave the chip.
#pragma once
#include "common.cuh"

// Voxels by which the recursions run in before a segment.
constexpr int HALO = 32;
// Terms of the sum that starts a line: |pole|^20 is 4e-12.
constexpr int HORIZON = 20;
// Two blocks on a multiprocessor at least, said to the compiler so that it does not spill for the sake of more.
constexpr int LINE_THREADS = 128;

// Outputs first <= j < last of a line, whose taps lie in coefficients low <= i < high.
struct Segment {
    int32 first, last, low, high;
};

// Numbers of the recursion that are functions of the line's length n alone, made in float64 by the host.
struct Recursion {
    float64 pole, gain, tail;  // tail = pole / (pole^2 - 1)
    float64 edge;  // 1 / (1 - pole^(2n - 2)) on a line no longer than the horizon, else 1
    float64 start[HORIZON];  // weight of voxel k in the first coefficient; after the first, gain included
};

struct LineJob {
    const void* x;
    void* out;
    int64 x_outer[2], x_line, x_lane;  // strides
    int64 o_outer[2], o_line, o_lane;
    int32 outer[2], length, lanes;
    const Segment* segments;
    const int32* index;  // (outputs, 4) of a spline, (taps, outputs) of a band
    const void* weight;  // the same, in the type computed in
    int32 segment_count, lane_blocks, taps, outputs;
    int32 capacity;  // coefficients of the longest segment
    int32 along;  // of a band: neighbours in x lie along the line
    float64 pre[4];
    Recursion recursion;
    Channels channels;
};

// The line's coefficients low <= i < high into c[(i - low) * step], read through `voxel`; needs room for
// high - low + HALO of them. AHEAD voxels are on their way at once: a recursion alone would wait for each.
template <int AHEAD, class C, class Voxel>
__device__ __forceinline__ void coefficients(const Recursion& r, int32 n, int32 low, int32 high, C* c, int32 step,
                                             const Voxel& voxel) {
    if (n == 1) {
        c[0] = voxel(0);
        return;
    }
    const C pole = C(r.pole), gain = C(r.gain), tail = C(r.tail);
    const int32 stop = high + HALO < n ? high + HALO : n;
    const int32 start = low > HALO ? low - HALO : 0;
    C state;
    if (start == 0) {
        state = gain * voxel(0);
        if (n <= HORIZON) {
            state += C(r.start[n - 1]) * voxel(n - 1);
            for (int32 k = 1; k < n - 1; k++) state += C(r.start[k]) * voxel(k);
            state *= C(r.edge);
        } else {
            for (int32 k = 1; k < HORIZON; k++) state += C(r.start[k]) * voxel(k);
        }
    } else {
        state = gain * voxel(start);
    }
    if (start >= low) c[(start - low) * step] = state;
    C before = state;
    int32 k = start + 1;
    for (; k + AHEAD <= stop; k += AHEAD) {
        C next[AHEAD];
#pragma unroll
        for (int32 i = 0; i < AHEAD; i++) next[i] = voxel(k + i);
#pragma unroll
        for (int32 i = 0; i < AHEAD; i++) {
            before = state;
            state = gain * next[i] + pole * state;
            if (k + i >= low) c[(k + i - low) * step] = state;
        }
    }
    for (; k < stop; k++) {
        before = state;
        state = gain * voxel(k) + pole * state;
        if (k >= low) c[(k - low) * step] = state;
    }
    state = tail * (pole * before + state);
    c[(stop - 1 - low) * step] = state;
    constexpr int BACK = 8;
    for (k = stop - 2; k - BACK + 1 >= low; k -= BACK) {
        C next[BACK];
#pragma unroll
        for (int32 i = 0; i < BACK; i++) next[i] = c[(k - i - low) * step];
#pragma unroll
        for (int32 i = 0; i < BACK; i++) {
            state = pole * (state - next[i]);
            c[(k - i - low) * step] = state;
        }
    }
    for (; k >= low; k--) {
        state = pole * (state - c[(k - low) * step]);
        c[(k - low) * step] = state;
    }
}

template <class T>
struct alignas(16) Four {
    T a, b, c, d;
};

// Outputs of a line from its coefficients c[(i - low) * step]; without taps output j is coefficient j.
template <class C>
class Evaluate {
    const Four<int32>* index;
    const Four<C>* weight;
    int32 taps;

  public:
    explicit __device__ __forceinline__ Evaluate(const LineJob& job)
        : index(reinterpret_cast<const Four<int32>*>(job.index)), weight(static_cast<const Four<C>*>(job.weight)),
          taps(job.taps) {}

    __device__ __forceinline__ C operator()(const C* c, int32 step, int32 low, int32 j) const {
        if (taps == 0) return c[(j - low) * step];
        const Four<int32> i = index[j];
        const Four<C> w = weight[j];
        return w.a * c[(i.a - low) * step] + w.b * c[(i.b - low) * step] + w.c * c[(i.c - low) * step] +
               w.d * c[(i.d - low) * step];
    }
};

// Lines across memory (z, y): neighbouring threads are neighbouring lines, so every access is coalesced.
template <class In, class Out, class C>
__global__ void __launch_bounds__(LINE_THREADS, 2)
columns(const __grid_constant__ LineJob one, const Jobs<LineJob> jobs) {
    DYNAMIC_SHARED(C, memory);
    uint32 block;
    const LineJob& job = find_job(one, jobs, block);
    const int32 lane = int32(block % job.lane_blocks) * LINE_THREADS + threadIdx.x;
    if (lane >= job.lanes) return;
    block /= job.lane_blocks;
    const Segment segment = job.segments[block % job.segment_count];
    block /= job.segment_count;
    const int64 i0 = block / job.outer[1], i1 = block % job.outer[1];
    const In* const x = static_cast<const In*>(job.x) + i0 * job.x_outer[0] + i1 * job.x_outer[1] + lane * job.x_lane;
    Out* const out = static_cast<Out*>(job.out) + i0 * job.o_outer[0] + i1 * job.o_outer[1] + lane * job.o_lane;
    const Ramp<C> pre(job.pre);
    const int64 step = job.x_line;
    C* const c = memory + threadIdx.x;
    const int32 low = segment.low, high = segment.high;
    // Enough bytes on their way to keep the memory busy, however few a voxel has.
    constexpr int AHEAD = sizeof(In) < 4 ? 32 : 16;
    if (pre.is_identity()) {
        coefficients<AHEAD>(job.recursion, job.length, low, high, c, LINE_THREADS,
                     [=](int32 k) { return number<C>(x[k * step]); });
    } else {
        coefficients<AHEAD>(job.recursion, job.length, low, high, c, LINE_THREADS,
                     [=](int32 k) { return pre(number<C>(x[k * step])); });
    }
    const Evaluate<C> evaluate(job);
    const Finish<C, Out> finish(job.channels);
    const int64 next = job.o_line;
    for (int32 j = segment.first; j < segment.last; j++) {
        finish(out + j * next, evaluate(c, LINE_THREADS, segment.low, j));
    }
}

// Lines along memory (x): a block brings a tile of lines on chip, row by row, and each thread then does one of them.
template <class In, class Out, class C>
__global__ void __launch_bounds__(LINE_THREADS, 2)
rows(const __grid_constant__ LineJob one, const Jobs<LineJob> jobs) {
    DYNAMIC_SHARED(C, memory);
    uint32 block;
    const LineJob& job = find_job(one, jobs, block);
    const int32 first_lane = int32(block % job.lane_blocks) * LINE_THREADS;
    block /= job.lane_blocks;
    const Segment segment = job.segments[block % job.segment_count];
    block /= job.segment_count;
    const int64 i0 = block / job.outer[1], i1 = block % job.outer[1];
    const In* const x = static_cast<const In*>(job.x) + i0 * job.x_outer[0] + i1 * job.x_outer[1];
    Out* const out = static_cast<Out*>(job.out) + i0 * job.o_outer[0] + i1 * job.o_outer[1];
    const Ramp<C> pre(job.pre);
    // An odd pitch puts the same place of neighbouring lines into different banks.
    const int32 pitch = (job.capacity + 2 * HALO) | 1;
    const int32 start = segment.low > HALO ? segment.low - HALO : 0;
    const int32 stop = segment.high + HALO < job.length ? segment.high + HALO : job.length;
    const int32 lanes = job.lanes - first_lane < LINE_THREADS ? job.lanes - first_lane : LINE_THREADS;
    const int32 warp = threadIdx.x / 32, within = threadIdx.x % 32;

    const int64 x_lane = job.x_lane, x_line = job.x_line;
    for (int32 k = start + within; k < stop; k += 32) {
        const In* const column = x + first_lane * x_lane + k * x_line;
#pragma unroll 8
        for (int32 lane = warp; lane < lanes; lane += LINE_THREADS / 32) {
            memory[lane * pitch + k - start] = pre(number<C>(column[lane * x_lane]));
        }
    }
    __syncthreads();
    if (int32(threadIdx.x) < lanes) {
        // In place: coefficient i takes the place of voxel i, which the causal recursion has just read for good.
        C* const line = memory + threadIdx.x * pitch;
        coefficients<8>(job.recursion, job.length, segment.low, segment.high, line + segment.low - start, 1,
                     [=](int32 k) { return line[k - start]; });
    }
    __syncthreads();
    const Evaluate<C> evaluate(job);
    const Finish<C, Out> finish(job.channels);
    const int64 o_lane = job.o_lane, o_line = job.o_line;
    for (int32 lane = warp; lane < lanes; lane += LINE_THREADS / 32) {
        const C* const c = memory + lane * pitch + segment.low - start;
        Out* const target = out + (first_lane + lane) * o_lane;
        for (int32 j = segment.first + within; j < segment.last; j += 32) {
            finish(target + j * o_line, evaluate(c, 1, segment.low, j));
        }
    }
}

// Output j of a line from the voxels themselves, any number of taps; the arithmetic of one and two is the CPU's.
template <class C, class Voxel>
__device__ __forceinline__ C weighted(const LineJob& job, int32 j, const Voxel& voxel) {
    const C* const w = static_cast<const C*>(job.weight) + j;
    const int32* const index = job.index + j;
    const int32 m = job.outputs;
    const C first = voxel(index[0]);
    if (job.taps == 2) return first + (voxel(index[m]) - first) * w[m];
    C sum = first * w[0];
    for (int32 t = 1; t < job.taps; t++) sum += voxel(index[t * m]) * w[t * m];
    return sum;
}

// Neighbouring threads are neighbours in x, whether that is along the line or across it.
template <class In, class Out, class C>
__global__ void __launch_bounds__(LINE_THREADS)
band(const __grid_constant__ LineJob one, const Jobs<LineJob> jobs) {
    uint32 block;
    const LineJob& job = find_job(one, jobs, block);
    const bool along = job.along;
    const int32 fast = int32(block % job.lane_blocks) * LINE_THREADS + threadIdx.x;
    if (fast >= (along ? job.outputs : job.lanes)) return;
    block /= job.lane_blocks;
    const int32 slow_count = along ? job.lanes : job.outputs;
    const int32 slow = int32(block % slow_count);
    block /= slow_count;
    const int32 lane = along ? slow : fast, j = along ? fast : slow;
    const int64 i0 = block / job.outer[1], i1 = block % job.outer[1];
    const In* const x = static_cast<const In*>(job.x) + i0 * job.x_outer[0] + i1 * job.x_outer[1] + lane * job.x_lane;
    Out* const out = static_cast<Out*>(job.out) + i0 * job.o_outer[0] + i1 * job.o_outer[1] + lane * job.o_lane;
    const Ramp<C> pre(job.pre);
    const int64 step = job.x_line;
    const C value = weighted<C>(job, j, [=](int32 k) { return pre(number<C>(x[k * step])); });
    Finish<C, Out>(job.channels)(out + j * job.o_line, value);
}
