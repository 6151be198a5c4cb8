// Numbers whose type is known at run time, as one of NUMBERS of _types.py, for kernels that are compiled for few: read as
// whole numbers or as real ones, and written from real ones. Places are in bytes.
#pragma once
#include "common.cuh"

__device__ __forceinline__ const char* place(const void* data, int64 bytes) {
    return static_cast<const char*>(data) + bytes;
}
__device__ __forceinline__ char* place(void* data, int64 bytes) { return static_cast<char*>(data) + bytes; }

// The first ``count`` of N numbers that are so many bytes apart.
template <class T, int N, class V>
__device__ __forceinline__ void load_each(const char* from, int64 step, int32 count, V* to) {
#pragma unroll
    for (int k = 0; k < N; k++)
        if (k < count) to[k] = number<V>(*reinterpret_cast<const T*>(from + k * step));
}
// As whole numbers; those of uint64 that int64 does not hold are negative.
template <int N>
__device__ __forceinline__ void load_some(int32 type, const char* from, int64 step, int32 count, int64* to) {
    switch (type) {
        case 0: return load_each<int8, N>(from, step, count, to);
        case 1: return load_each<uint8, N>(from, step, count, to);
        case 2: return load_each<int16, N>(from, step, count, to);
        case 3: return load_each<uint16, N>(from, step, count, to);
        case 4: return load_each<int32, N>(from, step, count, to);
        case 5: return load_each<uint32, N>(from, step, count, to);
        default: return load_each<int64, N>(from, step, count, to);
    }
}
// As real ones, of floats.
template <int N>
__device__ __forceinline__ void load_some(int32 type, const char* from, int64 step, int32 count, float64* to) {
    switch (type) {
        case 8: return load_each<float16, N>(from, step, count, to);
        case 9: return load_each<bfloat16, N>(from, step, count, to);
        case 10: return load_each<float32, N>(from, step, count, to);
        default: return load_each<float64, N>(from, step, count, to);
    }
}

// Of any type as a real one.
__device__ __forceinline__ float64 load_real(int32 type, const char* from) {
    float64 real;
    if (type >= 8) {
        load_some<1>(type, from, 0, 1, &real);
        return real;
    }
    int64 whole;
    load_some<1>(type, from, 0, 1, &whole);
    return type == 7 ? float64(uint64(whole)) : float64(whole);
}

template <class T>
__device__ __forceinline__ void put(char* to, float64 v) {
    *reinterpret_cast<T*>(to) = Cast<T>::of(v);
}
__device__ __forceinline__ void store_real(int32 type, char* to, float64 v) {
    switch (type) {
        case 0: return put<int8>(to, v);
        case 1: return put<uint8>(to, v);
        case 2: return put<int16>(to, v);
        case 3: return put<uint16>(to, v);
        case 4: return put<int32>(to, v);
        case 5: return put<uint32>(to, v);
        case 6: return put<int64>(to, v);
        case 7: return put<uint64>(to, v);
        case 8: return put<float16>(to, v);
        case 9: return put<bfloat16>(to, v);
        case 10: return put<float32>(to, v);
        default: return put<float64>(to, v);
    }
}

// The bits of a number of so many bytes, whatever they mean.
__device__ __forceinline__ uint64 load_bits(int32 width, const char* from) {
    switch (width) {
        case 1: return *reinterpret_cast<const uint8*>(from);
        case 2: return *reinterpret_cast<const uint16*>(from);
        case 4: return *reinterpret_cast<const uint32*>(from);
        default: return *reinterpret_cast<const uint64*>(from);
    }
}
__device__ __forceinline__ void store_bits(int32 width, char* to, uint64 bits) {
    switch (width) {
        case 1: *reinterpret_cast<uint8*>(to) = uint8(bits); return;
        case 2: *reinterpret_cast<uint16*>(to) = uint16(bits); return;
        case 4: *reinterpret_cast<uint32*>(to) = uint32(bits); return;
        default: *reinterpret_cast<uint64*>(to) = bits; return;
    }
}
