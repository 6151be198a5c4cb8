// out[k]: the lines through the knots of channel k, the first and the last going on beyond.
//
// Bytes: those of pointwise.cuh. The tables wait in shared memory, where lanes on different lines read different banks.
#include "pointwise.cuh"

// A power of two, for the search halves its steps.
constexpr int MOST_LINES = 64;
// The search takes instructions and registers; more threads hide its steps better than more voxels of one.
constexpr int SHARE = 2;

// A line starts at its knot; a start that is NaN is none. What lies beyond the ends moves to them first.
template <class C>
struct Lines {
    C start[MOST_LINES], value[MOST_LINES], slope[MOST_LINES];
    C low, high;

    __device__ __forceinline__ C operator()(C v) const {
        // Comparisons are false for NaN, so it passes through, on the first line.
        v = v < low ? low : v;
        v = v > high ? high : v;
        int32 line = 0;
#pragma unroll
        for (int32 step = MOST_LINES / 2; step > 0; step /= 2) line += v >= start[line + step] ? step : 0;
        return value[line] + slope[line] * (v - start[line]);
    }
};

struct PiecewiseJob : PointwiseJob {
    const void* lines;  // Lines<C> of each channel
};

template <class In, class Out>
__global__ void __launch_bounds__(POINTWISE_THREADS, 2)
piecewise(const __grid_constant__ PiecewiseJob one, const Jobs<PiecewiseJob> jobs) {
    using C = Compute<In, Out>;
    constexpr int32 NUMBERS = sizeof(Lines<C>) / sizeof(C);
    __shared__ Lines<C> lines[Channels::MOST];
    uint32 block;
    const PiecewiseJob& job = find_job(one, jobs, block);
    const C* const from = static_cast<const C*>(job.lines);
    C* const to = reinterpret_cast<C*>(lines);
    for (int32 i = threadIdx.x; i < job.channels * NUMBERS; i += POINTWISE_THREADS) to[i] = from[i];
    __syncthreads();
    pointwise<In, Out, SHARE>(job, block, [&](int32 k) -> const Lines<C>& { return lines[k]; });
}
