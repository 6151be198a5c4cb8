// Indices beyond the ends of an axis, mirrored back as often as it takes.
#pragma once
#include "common.cuh"

// The remainder that is not negative.
__device__ __forceinline__ int64 wrapped(int64 i, int64 period) {
    const int64 rest = i % period;
    return rest < 0 ? rest + period : rest;
}

// d c b | a b c d | c b a: the border is not repeated.
__device__ __forceinline__ int64 mirror(int64 i, int64 n) {
    if (i >= 0 && i < n) return i;
    if (n == 1) return 0;
    const int64 at = wrapped(i, 2 * n - 2);
    return at < n ? at : 2 * n - 2 - at;
}

// c b a | a b c d | d c b: it is.
__device__ __forceinline__ int64 reflect(int64 i, int64 n) {
    if (i >= 0 && i < n) return i;
    const int64 at = wrapped(i, 2 * n);
    return at < n ? at : 2 * n - 1 - at;
}
