// Numbers compared with a limit exactly: in a type that holds all of theirs, with the least of them that passes
#pragma once
#include "common.cuh"

template <class T> struct Limit { using type = int32; };
template <> struct Limit<uint32> { using type = uint32; };
template <> struct Limit<int64> { using type = int64; };
template <> struct Limit<uint64> { using type = uint64; };
template <> struct Limit<float16> { using type = float32; };
template <> struct Limit<bfloat16> { using type = float32; };
template <> struct Limit<float32> { using type = float32; };
template <> struct Limit<float64> { using type = float64; };

// Never true of NaN.
template <class T>
class AtLeast {
    using Real = typename Limit<T>::type;
    Real least;

  public:
    // The bits of a number of the type compared in.
    explicit __device__ __forceinline__ AtLeast(uint64 bits) { memcpy(&least, &bits, sizeof(least)); }
    __device__ __forceinline__ bool operator()(T value) const { return number<Real>(value) >= least; }
};
