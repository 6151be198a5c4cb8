// Numbers as whole numbers in the same order: zeros of either sign are one, and NaN comes last, as all bits set.
#pragma once
#include "common.cuh"

template <class T>
struct Order;

template <class T, class U, bool SIGNED>
struct OrderOfInteger {
    using Key = U;
    static constexpr bool FLOATS = false;
    static constexpr U TOP = SIGNED ? U(U(1) << (8 * sizeof(T) - 1)) : U(0);
    static __device__ __forceinline__ U of(T v) { return U(U(v) ^ TOP); }
    static __device__ __forceinline__ T back(U k) { return T(U(k ^ TOP)); }
};
template <> struct Order<int8> : OrderOfInteger<int8, uint8, true> {};
template <> struct Order<uint8> : OrderOfInteger<uint8, uint8, false> {};
template <> struct Order<int16> : OrderOfInteger<int16, uint16, true> {};
template <> struct Order<uint16> : OrderOfInteger<uint16, uint16, false> {};
template <> struct Order<int32> : OrderOfInteger<int32, uint32, true> {};
template <> struct Order<uint32> : OrderOfInteger<uint32, uint32, false> {};
template <> struct Order<int64> : OrderOfInteger<int64, uint64, true> {};
template <> struct Order<uint64> : OrderOfInteger<uint64, uint64, false> {};

// INF is the bits of infinity.
template <class T, class U, uint64 INF>
struct OrderOfFloat {
    using Key = U;
    static constexpr bool FLOATS = true;
    static constexpr U TOP = U(U(1) << (8 * sizeof(T) - 1));
    static __device__ __forceinline__ U of(T v) {
        U bits;
        memcpy(&bits, &v, sizeof(bits));
        const U size = U(bits & U(~TOP));
        if (size > U(INF)) return U(~U(0));
        if (size == 0) return TOP;
        return bits & TOP ? U(~bits) : U(bits | TOP);
    }
    static __device__ __forceinline__ T back(U k) {
        const U bits = k & TOP ? U(k ^ TOP) : U(~k);
        T v;
        memcpy(&v, &bits, sizeof(v));
        return v;
    }
};
template <> struct Order<float16> : OrderOfFloat<float16, uint16, 0x7c00> {};
template <> struct Order<bfloat16> : OrderOfFloat<bfloat16, uint16, 0x7f80> {};
template <> struct Order<float32> : OrderOfFloat<float32, uint32, 0x7f800000> {};
template <> struct Order<float64> : OrderOfFloat<float64, uint64, 0x7ff0000000000000> {};

template <class T>
__device__ __forceinline__ typename Order<T>::Key order_of(T v) { return Order<T>::of(v); }
