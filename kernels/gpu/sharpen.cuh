// Sharpening of a histogram: what a smooth field has done to it, undone in part (Sled et al. 1998, N3). In float64, by a
// block for each volume.
#pragma once
#include "bias.cuh"

struct Sharpening {
    float64 fwhm, noise;
    const float64* twiddle;  // (size / 2, 2): exp(-2 pi i k / size)
    int32 size, padding;
};

// One transform of `size` complex numbers in shared memory (Stockham's form); returns where the result lies.
struct Complex {
    float64 re, im;
};
__device__ __forceinline__ Complex* transform(Complex* from, Complex* to, const Complex* twiddle, int32 size, float64 sign) {
    for (int32 left = size / 2, done = 1; left >= 1; left /= 2, done *= 2) {
        __syncthreads();
        for (int32 i = threadIdx.x; i < size / 2; i += BIAS_THREADS) {
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

// The expected value of each bin: a Wiener deconvolution of the counts by the field's Gaussian gives the sharp histogram,
// and that the mean of what each bin is made of. The counts are zero afterwards; memory holds 5 size float64.
__device__ __forceinline__ void sharpen_block(const BiasJob& bias, const Sharpening& job, Complex* memory, float64 low,
                                              float64 slope) {
    const int32 size = job.size, bins = bias.bins, b = blockIdx.x, start = (size - bins) / 2;
    Complex *one = memory, *other = memory + size;
    float64* const blur = reinterpret_cast<float64*>(memory + 2 * size);
    uint64* const counts = bias.counted + int64(b) * 2 * (bins + 1);
    const float64 width = job.fwhm / slope, height = 2 * sqrt(0.6931471805599453 / 3.141592653589793) / width;
    for (int32 i = threadIdx.x; i < size; i += BIAS_THREADS) {
        const int32 bin = i - start, far = i < size - i ? i : size - i;
        const float64 counted = bin >= 0 && bin < bins ? bin_count(counts, bins, bin) : 0.0;
        one[i] = {counted, height * exp(-4 * 0.6931471805599453 * far * far / (width * width))};
    }
    const Complex* const twiddle = reinterpret_cast<const Complex*>(job.twiddle);
    Complex* found = transform(one, other, twiddle, size, 1);
    Complex* free = found == one ? other : one;
    for (int32 i = threadIdx.x; i < 2 * (bins + 1); i += BIAS_THREADS) counts[i] = 0;
    // Of two real signals transformed as one complex: the Gaussian is even, so its spectrum is real.
    for (int32 i = threadIdx.x; i < size; i += BIAS_THREADS) {
        const Complex z = found[i], mirror = found[(size - i) % size];
        const float64 gauss = (z.im + mirror.im) / 2, wiener = gauss / (gauss * gauss + job.noise);
        blur[i] = gauss;
        free[i] = {(z.re + mirror.re) / 2 * wiener, (z.im - mirror.im) / 2 * wiener};
    }
    __syncthreads();
    Complex* const spectrum = free;
    found = transform(spectrum, found, twiddle, size, -1);
    free = found == one ? other : one;
    for (int32 i = threadIdx.x; i < size; i += BIAS_THREADS) {
        const float64 sharp = found[i].re > 0 ? found[i].re / size : 0;
        free[i] = {(low + (i - start) * slope) * sharp, sharp};
    }
    __syncthreads();
    Complex* const weighted = free;
    found = transform(weighted, found, twiddle, size, 1);
    for (int32 i = threadIdx.x; i < size; i += BIAS_THREADS) {
        found[i].re *= blur[i];
        found[i].im *= blur[i];
    }
    __syncthreads();
    found = transform(found, found == one ? other : one, twiddle, size, -1);
    float32* const expected = bias.expected + int64(b) * 2 * bins;
    for (int32 i = threadIdx.x; i < bins; i += BIAS_THREADS) {
        const Complex z = found[start + i];
        expect(expected, bins, i, z.im != 0 ? float32(z.re / z.im) : 0.0f);
    }
}
