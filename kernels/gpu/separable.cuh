// Fields with one factor per axis: f[z, y, x] = sum c[a, b, c] Z[z, a] Y[y, b] X[x, c], from tables per axis.
//
// The operations and their order are those of the CPU, so the field has its bits.
#pragma once
#include "common.cuh"

// Of each voxel of an axis the first control value it depends on, and the weights of that one and its neighbours.
struct AxisTable {
    const int32* first;
    const float64* weight;  // (n, taps)
    const float32* light;  // the same in float32
    int32 n, controls, taps, padding;
};

// The controls of rows first_row <= y < last_row of plane z, as float32 (rows, kx); all threads of a block.
__device__ __forceinline__ void row_controls(const float64* lattice, const AxisTable* axes, int32 z, int32 first_row,
                                             int32 last_row, float32* rows) {
    const int32 ky = axes[1].controls, kx = axes[2].controls, start = axes[0].first[z];
    const float64* const wz = axes[0].weight + int64(z) * axes[0].taps;
    for (int32 i = threadIdx.x; i < (last_row - first_row) * kx; i += blockDim.x) {
        const int32 y = first_row + i / kx, c = i % kx;
        const float64* const wy = axes[1].weight + int64(y) * axes[1].taps;
        float64 sum = 0;
        for (int32 j = 0; j < axes[1].taps; j++) {
            const float64* const column = lattice + (int64(start) * ky + axes[1].first[y] + j) * kx + c;
            float64 along_z = 0;
            for (int32 k = 0; k < axes[0].taps; k++) along_z += wz[k] * column[int64(k) * ky * kx];
            sum += wy[j] * along_z;
        }
        rows[i] = float32(sum);
    }
    __syncthreads();
}

// The field at x of a row whose controls are given.
__device__ __forceinline__ float32 field_at(const float32* controls, const AxisTable& axis, int32 x) {
    const float32* const c = controls + axis.first[x];
    const float32* const w = axis.light + int64(x) * axis.taps;
    float32 sum = w[0] * c[0];
    for (int32 j = 1; j < axis.taps; j++) sum = fused(w[j], c[j], sum);
    return sum;
}

// exp(x) - 1 without losing the digits of a small x; held beyond 88, NaN stays NaN.
__device__ __forceinline__ float32 exponential_less_one(float32 x) {
    const float32 most = 88.0f;
    x = x < most ? x : (x >= most ? most : x);
    x = x > -most ? x : (x <= -most ? -most : x);
    const float32 shifted = fused(x, 1.4426950408889634f, 12582912.0f), n = shifted - 12582912.0f;
    // ln 2 in two parts: the first has so few bits that its product with n is exact.
    float32 r = fused(n, -0.693359375f, x);
    r = fused(n, 2.12194440e-4f, r);
    float32 p = float32(1.0 / 5040);
    p = fused(p, r, float32(1.0 / 720));
    p = fused(p, r, float32(1.0 / 120));
    p = fused(p, r, float32(1.0 / 24));
    p = fused(p, r, float32(1.0 / 6));
    p = fused(p, r, 0.5f);
    p = fused(p * r, r, r);
    const float32 scale = __uint_as_float((__float_as_uint(shifted) + 127u) << 23);
    return fused(p, scale, scale - 1.0f);
}
