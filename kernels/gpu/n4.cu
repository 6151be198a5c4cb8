// N4 bias field estimation (Tustison et al. 2010), as ITK computes it. An iteration is five launches: the histogram of
// what is left, its sharpening, the residuals summed against the splines, the lattice, and what is left then.
#include "bias.cuh"

constexpr int SHARPEN_THREADS = BIAS_THREADS;

struct N4Job {
    BiasJob bias;
    float64 fwhm, noise, threshold;
    const float64* twiddle;  // (size / 2, 2): exp(-2 pi i k / size)
    int32* steps;  // (volumes, levels)
    float64* changes;
    const float64* growth[3];  // matrices from this level's lattice to the next's; null after the last
    float64* next;
    int32 grown[3];
    int32 size, level, levels, itk, padding;
};

__global__ void __launch_bounds__(BIAS_THREADS)
collect(const __grid_constant__ N4Job job) { collect_block(job.bias); }

__global__ void __launch_bounds__(BIAS_THREADS)
count(const __grid_constant__ N4Job job) { count_block(job.bias); }

template <int TAPS>
__global__ void __launch_bounds__(BIAS_THREADS)
gather(const __grid_constant__ N4Job job) { gather_block<TAPS>(job.bias); }

template <int TAPS>
__global__ void __launch_bounds__(BIAS_THREADS)
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

// One transform of `size` complex numbers in shared memory (Stockham's form); returns where the result lies.
struct Complex {
    float64 re, im;
};
__device__ __forceinline__ Complex* transform(Complex* from, Complex* to, const Complex* twiddle, int32 size, float64 sign) {
    for (int32 left = size / 2, done = 1; left >= 1; left /= 2, done *= 2) {
        __syncthreads();
        for (int32 i = threadIdx.x; i < size / 2; i += SHARPEN_THREADS) {
            const int32 j = i / done, k = i % done;
            const Complex a = from[i], b = from[i + size / 2], w = twiddle[j * done];
            const float64 re = a.re - b.re, im = a.im - b.im, turn = sign * w.im;
            to[k + 2 * j * done] = {a.re + b.re, a.im + b.im};
            to[k + (2 * j + 1) * done] = {w.re * re - turn * im, w.re * im + turn * re};
        }
        Complex* const swap = from;
        from = to;
        to = swap;
    }
    __syncthreads();
    return from;
}

// Whether the last iteration was the level's last one, and otherwise the expected intensity of each bin (Sled et al.
// 1998): a Wiener deconvolution of the histogram by the field's Gaussian. A block per volume.
__global__ void __launch_bounds__(SHARPEN_THREADS)
sharpen(const __grid_constant__ N4Job job) {
    DYNAMIC_SHARED(Complex, memory);
    const BiasJob& bias = job.bias;
    const int32 size = job.size, bins = bias.bins, b = blockIdx.x, start = (size - bins) / 2;
    State& state = bias.state[b];
    if (state.done) return;
    if (state.step > 0) {
        const float64 change = job.itk ? state.change : change_of(bias, b);
        if (has_ended(state, change, job.threshold, job.steps, job.changes, int64(b) * job.levels + job.level)) return;
    }
    float32 low;
    const float64 slope = begin_step(state, bins, low);
    if (!(slope > 0)) return;
    Complex *one = memory, *other = memory + size;
    float64* const blur = reinterpret_cast<float64*>(memory + 2 * size);
    uint64* const counts = bias.counted + int64(b) * 2 * (bins + 1);
    const float64 width = job.fwhm / slope, height = 2 * sqrt(0.6931471805599453 / 3.141592653589793) / width;
    for (int32 i = threadIdx.x; i < size; i += SHARPEN_THREADS) {
        const int32 bin = i - start, far = i < size - i ? i : size - i;
        const float64 counted = bin >= 0 && bin < bins ? bin_count(counts, bins, bin) : 0.0;
        one[i] = {counted, height * exp(-4 * 0.6931471805599453 * far * far / (width * width))};
    }
    const Complex* const twiddle = reinterpret_cast<const Complex*>(job.twiddle);
    Complex* found = transform(one, other, twiddle, size, 1);
    Complex* free = found == one ? other : one;
    for (int32 i = threadIdx.x; i < 2 * (bins + 1); i += SHARPEN_THREADS) counts[i] = 0;
    // Of two real signals transformed as one complex: the Gaussian is even, so its spectrum is real.
    for (int32 i = threadIdx.x; i < size; i += SHARPEN_THREADS) {
        const Complex z = found[i], mirror = found[(size - i) % size];
        const float64 gauss = (z.im + mirror.im) / 2, wiener = gauss / (gauss * gauss + job.noise);
        blur[i] = gauss;
        free[i] = {(z.re + mirror.re) / 2 * wiener, (z.im - mirror.im) / 2 * wiener};
    }
    __syncthreads();
    Complex* const spectrum = free;
    found = transform(spectrum, found, twiddle, size, -1);
    free = found == one ? other : one;
    for (int32 i = threadIdx.x; i < size; i += SHARPEN_THREADS) {
        const float64 sharp = found[i].re > 0 ? found[i].re / size : 0;
        free[i] = {(float64(low) + (i - start) * slope) * sharp, sharp};
    }
    __syncthreads();
    Complex* const weighted = free;
    found = transform(weighted, found, twiddle, size, 1);
    for (int32 i = threadIdx.x; i < size; i += SHARPEN_THREADS) {
        found[i].re *= blur[i];
        found[i].im *= blur[i];
    }
    __syncthreads();
    found = transform(found, found == one ? other : one, twiddle, size, -1);
    float32* const expected = bias.expected + int64(b) * 2 * bins;
    for (int32 i = threadIdx.x; i < bins; i += SHARPEN_THREADS) {
        const Complex z = found[start + i];
        expect(expected, bins, i, z.im != 0 ? float32(z.re / z.im) : 0.0f);
    }
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
