// N4 bias field estimation (Tustison et al. 2010), as ITK computes it. An iteration is five launches: the histogram of
// what is left, its sharpening, the residuals summed against the splines, the lattice, and what is left then.
#include "sharpen.cuh"

struct N4Job {
    BiasJob bias;
    Sharpening sharpening;
    float64 threshold;
    int32* steps;  // (volumes, levels)
    float64* changes;
    const float64* growth[3];  // matrices from this level's lattice to the next's; null after the last
    float64* next;
    int32 grown[3];
    int32 level, levels, itk;
};

__global__ void __launch_bounds__(BIAS_THREADS)
collect(const __grid_constant__ N4Job job) { collect_block(job.bias); }

__global__ void __launch_bounds__(BIAS_THREADS, 4)
count(const __grid_constant__ N4Job job) { count_block(job.bias); }

template <int TAPS>
__global__ void __launch_bounds__(BIAS_THREADS)
gather(const __grid_constant__ N4Job job) { gather_block<TAPS>(job.bias); }

template <int TAPS>
__global__ void __launch_bounds__(BIAS_THREADS, 4)
subtract(const __grid_constant__ N4Job job) { subtract_block<TAPS>(job.bias); }

// The sums into the density, or through it into the lattice: a warp for each point.
template <int TAPS>
__global__ void __launch_bounds__(BIAS_THREADS)
solve(const __grid_constant__ N4Job job) {
    const BiasJob& bias = job.bias;
    const int32 points = bias.against[0].controls * bias.against[1].controls * bias.against[2].controls;
    const int32 blocks = (points + BIAS_WARPS - 1) / BIAS_WARPS, b = blockIdx.x / blocks;
    const int32 point = int32(blockIdx.x) % blocks * BIAS_WARPS + int32(threadIdx.x) / 32;
    if (bias.state[b].done || point >= points) return;
    const float64 sum = point_sum<TAPS>(bias, b, point);
    if (threadIdx.x % 32 != 0) return;
    const int64 i = int64(b) * points + point;
    if (!bias.residuals) {
        bias.density[i] = sum;
    } else if (bias.state[b].slope > 0 && bias.density[i] > 0) {
        bias.lattice[i] += sum / bias.density[i];
    }
}

// Whether the last iteration was the level's last one, and otherwise what is expected of each bin. A block per volume.
__global__ void __launch_bounds__(BIAS_THREADS)
sharpen(const __grid_constant__ N4Job job) {
    DYNAMIC_SHARED(Complex, memory);
    const BiasJob& bias = job.bias;
    const int32 b = blockIdx.x;
    State& state = bias.state[b];
    if (state.done) return;
    if (state.step > 0) {
        const float64 change = job.itk ? state.change : change_of(bias, b);
        if (has_ended(state, change, job.threshold, job.steps, job.changes, int64(b) * job.levels + job.level)) return;
    }
    float32 low;
    const float64 slope = begin_step(state, bias.bins, low);
    if (!(slope > 0)) return;
    sharpen_block(bias, job.sharpening, memory, low, slope);
}

// The change of the field as ITK finds it: voxel after voxel, in float32, a volume's by one warp.
__global__ void __launch_bounds__(32)
running_change(const __grid_constant__ N4Job job) {
    const BiasJob& bias = job.bias;
    const int32 b = blockIdx.x;
    State& state = bias.state[b];
    if (state.done) return;
    const int64 voxels = int64(bias.shape[0]) * bias.shape[1] * bias.shape[2];
    __shared__ float32 ratios[32];
    float32 mean = 0, spread = 0, count = 0;
    for (int64 first = 0; first < voxels; first += 32) {
        const int64 i = first + threadIdx.x;
        ratios[threadIdx.x] = i < voxels ? expf(bias.differences[b * voxels + i]) : not_a_number();
        __syncwarp();
        if (threadIdx.x == 0) {
            for (int32 k = 0; k < 32; k++) {
                const float32 ratio = ratios[k];
                if (ratio != ratio) continue;
                // Each step rounded to the type that ITK's own variables have.
                count += 1;
                const float64 n = count;
                if (n > 1) {
                    const float32 away = ratio - mean;
                    spread = float32(float64(spread) + float64(away * away) * (n - 1) / n);
                }
                mean = float32(float64(mean) * (1 - 1 / n) + float64(ratio / count));
            }
        }
        __syncwarp();
    }
    if (threadIdx.x == 0) state.change = count < 2 ? 0 : float64(sqrtf(spread / (count - 1)) / mean);
}

// The end of a level: what its last iteration has changed, and the lattice for the next one. A block per volume.
__global__ void __launch_bounds__(BIAS_THREADS)
end_level(const __grid_constant__ N4Job job) {
    const BiasJob& bias = job.bias;
    const int32 b = blockIdx.x, ny = job.grown[1], nx = job.grown[2];
    State& state = bias.state[b];
    if (!state.done) {
        const float64 change = job.itk ? state.change : change_of(bias, b);
        has_ended(state, change, job.threshold, job.steps, job.changes, int64(b) * job.levels + job.level);
    }
    __syncthreads();
    if (threadIdx.x == 0) {
        state.done = 0;
        state.step = 0;
    }
    if (!job.next) return;
    const int32 kz = bias.axes[0].controls, ky = bias.axes[1].controls, kx = bias.axes[2].controls;
    const float64* const old = bias.lattice + int64(b) * kz * ky * kx;
    const int32 points = job.grown[0] * ny * nx;
    for (int32 i = threadIdx.x; i < points; i += BIAS_THREADS) {
        const float64 *const gz = job.growth[0] + i / (ny * nx) * kz, *const gy = job.growth[1] + i / nx % ny * ky;
        const float64* const gx = job.growth[2] + i % nx * kx;
        float64 sum = 0;
        for (int32 z = 0; z < kz; z++) {
            if (gz[z] == 0) continue;
            for (int32 y = 0; y < ky; y++) {
                if (gy[y] == 0) continue;
                for (int32 x = 0; x < kx; x++) sum += gz[z] * gy[y] * gx[x] * old[(z * ky + y) * kx + x];
            }
        }
        job.next[int64(b) * points + i] = sum;
    }
}
