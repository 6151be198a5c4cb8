// CUDA C++ on the host: what a .cu file needs to be compiled by g++ unmodified. launch.hpp runs it.
//
// What the hardware leaves undefined is either an error here (threads that do not meet, a lane outside its mask) or
// POISON (shared memory before it is written, a shuffle from a lane that takes no part).
//
// Beyond CUDA there is one name for sources to use: `void* emulator_dynamic_shared()`.
#pragma once

#include <math.h>

#include <type_traits>

// Kernels are compiled in a hurry; what runs their threads is not.
#pragma GCC push_options
#pragma GCC optimize("O2")
#include "launch.hpp"
#pragma GCC pop_options

// ---- The dialect

#define __global__
#define __device__
#define __host__
#define __constant__
#define __grid_constant__
#define __shared__ static thread_local
#define __launch_bounds__(...)
#define __forceinline__ inline
#define __noinline__ __attribute__((noinline))
#define __align__(n) __attribute__((aligned(n)))

constexpr int warpSize = 32;

// 16-byte aligned, as large as the launch says.
inline void* emulator_dynamic_shared() { return emulator::dynamic_shared; }

#define EMULATOR_VECTOR(T, name, two, four)                    \
    struct __align__(two) name##2 { T x, y; };                 \
    struct __align__(four) name##4 { T x, y, z, w; };          \
    inline name##2 make_##name##2(T x, T y) { return {x, y}; } \
    inline name##4 make_##name##4(T x, T y, T z, T w) { return {x, y, z, w}; }
EMULATOR_VECTOR(signed char, char, 2, 4)
EMULATOR_VECTOR(unsigned char, uchar, 2, 4)
EMULATOR_VECTOR(short, short, 4, 8)
EMULATOR_VECTOR(unsigned short, ushort, 4, 8)
EMULATOR_VECTOR(int, int, 8, 16)
EMULATOR_VECTOR(unsigned, uint, 8, 16)
EMULATOR_VECTOR(long long, longlong, 16, 16)
EMULATOR_VECTOR(unsigned long long, ulonglong, 16, 16)
EMULATOR_VECTOR(float, float, 8, 16)
EMULATOR_VECTOR(double, double, 16, 16)
struct int3 { int x, y, z; };
struct float3 { float x, y, z; };
struct double3 { double x, y, z; };
inline int3 make_int3(int x, int y, int z) { return {x, y, z}; }
inline uint3 make_uint3(unsigned x, unsigned y, unsigned z) { return {x, y, z}; }
inline float3 make_float3(float x, float y, float z) { return {x, y, z}; }
inline double3 make_double3(double x, double y, double z) { return {x, y, z}; }

// ---- Barriers and warp functions. A call is known by its line: the defaults are those of the caller.

#define EMULATOR_HERE const char *file = __builtin_FILE(), int line = __builtin_LINE()

namespace emulator {

constexpr unsigned LANES = 31;

inline int lane() { return static_cast<int>(current - threads) % 32; }

inline Thread& at_barrier(const Call& call, bool given) {
    current->call = call;
    current->given = given;
    current->state = State::at_barrier;
    suspend();
    return *current;
}

inline Thread& in_warp(const Call& call, unsigned long long given, int source) {
    if (!(call.mask >> lane() & 1)) fail(call, "the mask does not name the calling lane");
    current->call = call;
    current->given = given;
    current->source = static_cast<signed char>(source);
    current->state = State::in_warp;
    suspend();
    return *current;
}

template <class T> T exchange(const Call& call, T value, int source, int width) {
    static_assert(std::is_arithmetic_v<T> && sizeof(T) <= 8, "CUDA shuffles numbers of at most 8 bytes");
    if (width < 1 || width > 32 || width & (width - 1)) fail(call, "width is not a power of two up to 32");
    unsigned long long bits = 0;
    memcpy(&bits, &value, sizeof value);
    bits = in_warp(call, bits, source).received;
    memcpy(&value, &bits, sizeof value);
    return value;
}

}  // namespace emulator

inline void __syncthreads(EMULATOR_HERE) { emulator::at_barrier({"__syncthreads", file, line, 0}, false); }
inline int __syncthreads_count(int predicate, EMULATOR_HERE) {
    return static_cast<int>(emulator::at_barrier({"__syncthreads_count", file, line, 0}, predicate).votes);
}
inline int __syncthreads_or(int predicate, EMULATOR_HERE) {
    return emulator::at_barrier({"__syncthreads_or", file, line, 0}, predicate).votes != 0;
}
inline int __syncthreads_and(int predicate, EMULATOR_HERE) {
    return emulator::at_barrier({"__syncthreads_and", file, line, 0}, !predicate).votes == 0;
}

inline void __syncwarp(unsigned mask = ~0u, EMULATOR_HERE) {
    emulator::in_warp({"__syncwarp", file, line, mask}, 0, 0);
}
inline unsigned __ballot_sync(unsigned mask, int predicate, EMULATOR_HERE) {
    return emulator::in_warp({"__ballot_sync", file, line, mask}, predicate != 0, 0).votes;
}
inline int __any_sync(unsigned mask, int predicate, EMULATOR_HERE) {
    return emulator::in_warp({"__any_sync", file, line, mask}, predicate != 0, 0).votes != 0;
}
inline int __all_sync(unsigned mask, int predicate, EMULATOR_HERE) {
    return emulator::in_warp({"__all_sync", file, line, mask}, predicate == 0, 0).votes == 0;
}

// Lanes are counted inside segments of `width`; one beyond its segment gets its own value back.
template <class T> T __shfl_sync(unsigned mask, T value, int source, int width = 32, EMULATOR_HERE) {
    const int segment = emulator::lane() & -width;
    return emulator::exchange({"__shfl_sync", file, line, mask}, value, segment | (source & (width - 1)), width);
}
template <class T> T __shfl_up_sync(unsigned mask, T value, unsigned delta, int width = 32, EMULATOR_HERE) {
    const int lane = emulator::lane(), source = lane - static_cast<int>(delta & emulator::LANES);
    const bool beyond = source < (lane & -width);
    return emulator::exchange({"__shfl_up_sync", file, line, mask}, value, beyond ? lane : source, width);
}
template <class T> T __shfl_down_sync(unsigned mask, T value, unsigned delta, int width = 32, EMULATOR_HERE) {
    const int lane = emulator::lane(), source = lane + static_cast<int>(delta & emulator::LANES);
    const bool beyond = source > (lane | (width - 1));
    return emulator::exchange({"__shfl_down_sync", file, line, mask}, value, beyond ? lane : source, width);
}
template <class T> T __shfl_xor_sync(unsigned mask, T value, int with, int width = 32, EMULATOR_HERE) {
    const int lane = emulator::lane(), source = lane ^ (with & static_cast<int>(emulator::LANES));
    const bool beyond = source > (lane | (width - 1));
    return emulator::exchange({"__shfl_xor_sync", file, line, mask}, value, beyond ? lane : source, width);
}

inline void __threadfence() {}
inline void __threadfence_block() {}
inline void __trap(EMULATOR_HERE) { emulator::fail({"__trap", file, line, 0}, "called"); }

// ---- Atomics: one thread runs at a time, so they are plain. Integers wrap, which is no undefined overflow.

namespace emulator {

template <class T, class F> T update(T* address, F change) {
    static_assert(std::is_arithmetic_v<T> && sizeof(T) >= 4, "CUDA has no atomics of this type");
    const T old = *address;
    *address = static_cast<T>(change(old));
    return old;
}

template <class T> T sum(T a, T b) {
    if constexpr (std::is_integral_v<T>) __builtin_add_overflow(a, b, &a);
    else a += b;
    return a;
}

template <class T> T difference(T a, T b) {
    __builtin_sub_overflow(a, b, &a);
    return a;
}

}  // namespace emulator

#define EMULATOR_ATOMIC(name, expression)                                           \
    template <class T> T name(T* address, std::common_type_t<T> value) {            \
        return emulator::update(address, [&](T old) { return expression; });        \
    }
EMULATOR_ATOMIC(atomicAdd, emulator::sum(old, value))
EMULATOR_ATOMIC(atomicSub, emulator::difference(old, value))
EMULATOR_ATOMIC(atomicMin, value < old ? value : old)
EMULATOR_ATOMIC(atomicMax, old < value ? value : old)
EMULATOR_ATOMIC(atomicAnd, old & value)
EMULATOR_ATOMIC(atomicOr, old | value)
EMULATOR_ATOMIC(atomicXor, old ^ value)
EMULATOR_ATOMIC(atomicExch, (static_cast<void>(old), value))

template <class T> T atomicCAS(T* address, std::common_type_t<T> compare, std::common_type_t<T> value) {
    return emulator::update(address, [&](T old) { return old == compare ? value : old; });
}

// ---- Bits, conversions, arithmetic

namespace emulator {

template <class To, class From> To bits_as(From value) {
    static_assert(sizeof(To) == sizeof(From));
    To result;
    memcpy(&result, &value, sizeof value);
    return result;
}

// Saturating, NaN as 0: what cvt does. `value` is rounded already.
template <class To> To saturate(double value) {
    constexpr To low = std::is_signed_v<To> ? To{1} << (8 * sizeof(To) - 1) : 0, high = static_cast<To>(~low);
    if (!(value > static_cast<double>(low))) return isnan(value) ? 0 : low;
    return value < static_cast<double>(high) ? static_cast<To>(value) : high;
}

}  // namespace emulator

inline int __popc(unsigned x) { return __builtin_popcount(x); }
inline int __popcll(unsigned long long x) { return __builtin_popcountll(x); }
inline int __ffs(int x) { return __builtin_ffs(x); }
inline int __ffsll(long long x) { return __builtin_ffsll(x); }
inline int __clz(int x) { return x ? __builtin_clz(static_cast<unsigned>(x)) : 32; }
inline int __clzll(long long x) { return x ? __builtin_clzll(static_cast<unsigned long long>(x)) : 64; }
inline unsigned __brev(unsigned x) {
    unsigned reversed = 0;
    for (int i = 0; i < 32; ++i) reversed |= (x >> i & 1) << (31 - i);
    return reversed;
}
inline unsigned __umulhi(unsigned a, unsigned b) { return static_cast<unsigned>(1ull * a * b >> 32); }
inline int __mulhi(int a, int b) { return static_cast<int>(1ll * a * b >> 32); }
inline unsigned long long __umul64hi(unsigned long long a, unsigned long long b) {
    return static_cast<unsigned long long>(static_cast<unsigned __int128>(a) * b >> 64);
}

inline int __float_as_int(float x) { return emulator::bits_as<int>(x); }
inline unsigned __float_as_uint(float x) { return emulator::bits_as<unsigned>(x); }
inline float __int_as_float(int x) { return emulator::bits_as<float>(x); }
inline float __uint_as_float(unsigned x) { return emulator::bits_as<float>(x); }
inline long long __double_as_longlong(double x) { return emulator::bits_as<long long>(x); }
inline double __longlong_as_double(long long x) { return emulator::bits_as<double>(x); }

#define EMULATOR_ROUNDINGS(suffix, round)                                                                  \
    inline int __float2int_##suffix(float x) { return emulator::saturate<int>(round(x)); }                 \
    inline unsigned __float2uint_##suffix(float x) { return emulator::saturate<unsigned>(round(x)); }      \
    inline long long __float2ll_##suffix(float x) { return emulator::saturate<long long>(round(x)); }      \
    inline int __double2int_##suffix(double x) { return emulator::saturate<int>(round(x)); }               \
    inline unsigned __double2uint_##suffix(double x) { return emulator::saturate<unsigned>(round(x)); }    \
    inline long long __double2ll_##suffix(double x) { return emulator::saturate<long long>(round(x)); }
EMULATOR_ROUNDINGS(rn, rint)
EMULATOR_ROUNDINGS(rz, trunc)
EMULATOR_ROUNDINGS(rd, floor)
EMULATOR_ROUNDINGS(ru, ceil)
inline float __int2float_rn(int x) { return static_cast<float>(x); }
inline float __uint2float_rn(unsigned x) { return static_cast<float>(x); }
inline float __double2float_rn(double x) { return static_cast<float>(x); }

inline float __fadd_rn(float a, float b) { return a + b; }
inline float __fsub_rn(float a, float b) { return a - b; }
inline float __fmul_rn(float a, float b) { return a * b; }
inline float __fdiv_rn(float a, float b) { return a / b; }
inline float __fmaf_rn(float a, float b, float c) { return fmaf(a, b, c); }
inline float __fsqrt_rn(float x) { return sqrtf(x); }
inline double __dadd_rn(double a, double b) { return a + b; }
inline double __dsub_rn(double a, double b) { return a - b; }
inline double __dmul_rn(double a, double b) { return a * b; }
inline double __ddiv_rn(double a, double b) { return a / b; }
inline double __fma_rn(double a, double b, double c) { return fma(a, b, c); }
inline double __dsqrt_rn(double x) { return sqrt(x); }
inline float __saturatef(float x) { return x > 0 ? (x < 1 ? x : 1) : 0; }
inline float rsqrtf(float x) { return 1 / sqrtf(x); }
inline double rsqrt(double x) { return 1 / sqrt(x); }

template <class T> T __ldg(const T* address) { return *address; }

// CUDA's overloads, so that mixed types give what they give there. Of a number and a NaN: the number.
#define EMULATOR_LEAST(T, A, B)                                                            \
    inline T min(A a, B b) { return static_cast<T>(a) < static_cast<T>(b) ? a : b; }       \
    inline T max(A a, B b) { return static_cast<T>(a) < static_cast<T>(b) ? b : a; }
#define EMULATOR_LEAST_INTEGERS(S, U) \
    EMULATOR_LEAST(S, S, S)           \
    EMULATOR_LEAST(U, U, U)           \
    EMULATOR_LEAST(U, U, S)           \
    EMULATOR_LEAST(U, S, U)
EMULATOR_LEAST_INTEGERS(int, unsigned)
EMULATOR_LEAST_INTEGERS(long, unsigned long)
EMULATOR_LEAST_INTEGERS(long long, unsigned long long)
inline float min(float a, float b) { return fminf(a, b); }
inline float max(float a, float b) { return fmaxf(a, b); }
inline double min(double a, double b) { return fmin(a, b); }
inline double max(double a, double b) { return fmax(a, b); }
inline double min(float a, double b) { return fmin(a, b); }
inline double max(float a, double b) { return fmax(a, b); }
inline double min(double a, float b) { return fmin(a, b); }
inline double max(double a, float b) { return fmax(a, b); }
