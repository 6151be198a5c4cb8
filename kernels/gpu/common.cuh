// What every kernel shares: types by their NumPy names, reading, casting, the Ramp, and finding one's job.
//
// Everything but the block marked "twins" is plain CUDA C++ that also compiles for the host, so that tests run this
// very source without a GPU. Contraction is off (--fmad=false): a * b + c rounds twice, as on the CPU, and where one
// rounding is meant the source says fma.
#pragma once

using int8 = signed char;
using uint8 = unsigned char;
using int16 = short;
using uint16 = unsigned short;
using int32 = int;
using uint32 = unsigned int;
using int64 = long long;
using uint64 = unsigned long long;
using float32 = float;
using float64 = double;

struct float16 {
    uint16 bits;
};
struct bfloat16 {
    uint16 bits;
};
// A mask as a result.
struct bool8 {
    uint8 set;
};

// ---- twins: what the device has instructions for and the host does not ----------------------------------------------

#ifdef __CUDACC__

#define DYNAMIC_SHARED(T, name)                                            \
    extern __shared__ __align__(16) unsigned char dynamic_shared_memory[]; \
    T* const name = reinterpret_cast<T*>(dynamic_shared_memory)

__device__ __forceinline__ float32 float_of(float16 v) {
    float32 f;
    asm("cvt.f32.f16 %0, %1;" : "=f"(f) : "h"(v.bits));
    return f;
}

__device__ __forceinline__ float16 half_of(float32 f) {
    float16 v;
    asm("cvt.rn.f16.f32 %0, %1;" : "=h"(v.bits) : "f"(f));
    return v;
}

// The largest integer not above c, of a magnitude below 2^31: in two additions, where a conversion takes as long as eight.
struct Floor {
    int32 index;
    float64 value;

    explicit __device__ __forceinline__ Floor(float64 c) {
        // Beside 1.5 * 2^52 a float64 has no room for a fraction, and its low word is the integer.
        const float64 shifted = __dadd_rd(c, 6755399441055744.0);
        index = __double2loint(shifted);
        value = shifted - 6755399441055744.0;
    }
};

#else

struct Floor {
    int32 index;
    float64 value;

    explicit Floor(float64 c) : index(static_cast<int32>(floor(c))), value(floor(c)) {}
};

#define DYNAMIC_SHARED(T, name) T* const name = static_cast<T*>(emulator_dynamic_shared())

inline float32 float_of(float16 v) {
    const uint32 sign = uint32(v.bits & 0x8000) << 16, rest = v.bits & 0x7fff;
    if (rest >= 0x7c00) return __uint_as_float(sign | 0x7f800000u | (rest & 0x3ff) << 13);
    const float32 size = rest < 0x400 ? float32(rest) * 0x1p-24f : __uint_as_float((rest << 13) + (112u << 23));
    return sign ? -size : size;
}

// A subnormal half is a multiple of 2^-24; a normal one keeps 10 of the 23 bits, rounded half to even.
inline float16 half_of(float32 f) {
    const uint32 word = __float_as_uint(f), size = word & 0x7fffffffu;
    const uint16 sign = uint16(word >> 16 & 0x8000);
    if (size > 0x7f800000u) return {uint16(0x7fff)};
    if (size >= 0x477ff000u) return {uint16(sign | 0x7c00)};
    if (size < 0x38800000u) return {uint16(sign | uint16(rintf(__uint_as_float(size) * 0x1p24f)))};
    const uint32 rebased = size - (112u << 23);
    return {uint16(sign | uint16((rebased + 0xfff + (rebased >> 13 & 1)) >> 13))};
}

#endif

// ---- numbers --------------------------------------------------------------------------------------------------------

__device__ __forceinline__ float32 float_of(bfloat16 v) { return __uint_as_float(uint32(v.bits) << 16); }

__device__ __forceinline__ bfloat16 brain_of(float32 f) {
    const uint32 word = __float_as_uint(f);
    if ((word & 0x7fffffffu) > 0x7f800000u) return {uint16(0x7fc0)};
    return {uint16((word + 0x7fff + (word >> 16 & 1)) >> 16)};
}

// A stored number in the type the kernel computes in.
template <class C, class T>
__device__ __forceinline__ C number(T v) { return static_cast<C>(v); }
template <class C>
__device__ __forceinline__ C number(float16 v) { return static_cast<C>(float_of(v)); }
template <class C>
__device__ __forceinline__ C number(bfloat16 v) { return static_cast<C>(float_of(v)); }

// The type of the argument decides, here as there: the host's own fma and exp of a float32 may be those of a float64.
__device__ __forceinline__ float32 round_even(float32 v) { return rintf(v); }
__device__ __forceinline__ float64 round_even(float64 v) { return rint(v); }
__device__ __forceinline__ float32 fused(float32 a, float32 b, float32 c) { return fmaf(a, b, c); }
__device__ __forceinline__ float64 fused(float64 a, float64 b, float64 c) { return fma(a, b, c); }
__device__ __forceinline__ float32 exponential(float32 v) { return expf(v); }
__device__ __forceinline__ float64 exponential(float64 v) { return exp(v); }

// The result of a computation in a dtype: integers round half to even and saturate, NaN becomes 0.
template <class T>
struct Cast;

template <class T, int LOW, int HIGH>
struct CastToInteger {
    template <class C>
    static __device__ __forceinline__ T of(C v) {
        const C low = LOW, high = HIGH;
        v = v > low ? v : (v != v ? C(0) : low);
        v = v < high ? v : high;
        return static_cast<T>(static_cast<int32>(round_even(v)));
    }
};
template <>
struct Cast<int8> : CastToInteger<int8, -128, 127> {};
template <>
struct Cast<uint8> : CastToInteger<uint8, 0, 255> {};
template <>
struct Cast<int16> : CastToInteger<int16, -32768, 32767> {};
template <>
struct Cast<uint16> : CastToInteger<uint16, 0, 65535> {};

// float64 cannot hold the largest 64-bit integers, so the ends are set, not converted.
template <class T, int64 LOW, uint64 HIGH>
struct CastToWide {
    static __device__ __forceinline__ T of(float64 v) {
        v = round_even(v);
        if (v != v) return 0;
        if (v >= float64(HIGH)) return T(HIGH);
        if (v <= float64(LOW)) return T(LOW);
        return static_cast<T>(v);
    }
};
template <>
struct Cast<int32> : CastToWide<int32, -2147483647 - 1, 2147483647> {};
template <>
struct Cast<uint32> : CastToWide<uint32, 0, 4294967295> {};
template <>
struct Cast<int64> : CastToWide<int64, -9223372036854775807 - 1, 9223372036854775807> {};
template <>
struct Cast<uint64> : CastToWide<uint64, 0, 18446744073709551615u> {};

template <class T>
struct CastToFloat {
    template <class C>
    static __device__ __forceinline__ T of(C v) { return static_cast<T>(v); }
};
template <>
struct Cast<float32> : CastToFloat<float32> {};
template <>
struct Cast<float64> : CastToFloat<float64> {};
template <>
struct Cast<float16> {
    template <class C>
    static __device__ __forceinline__ float16 of(C v) { return half_of(static_cast<float32>(v)); }
};
template <>
struct Cast<bool8> {
    template <class C>
    static __device__ __forceinline__ bool8 of(C v) { return {uint8(v != 0)}; }
};
template <>
struct Cast<bfloat16> {
    template <class C>
    static __device__ __forceinline__ bfloat16 of(C v) { return brain_of(static_cast<float32>(v)); }
};

// What a kernel computes in: float32, and float64 where it goes in or out or float32 cannot hold the input.
template <class T>
struct IsWide { static constexpr bool value = sizeof(T) > 4; };
template <>
struct IsWide<int32> { static constexpr bool value = true; };
template <>
struct IsWide<uint32> { static constexpr bool value = true; };

template <bool WIDE>
struct Real { using type = float32; };
template <>
struct Real<true> { using type = float64; };
template <class In, class Out>
using Compute = typename Real<IsWide<In>::value || IsWide<Out>::value>::type;

// ---- Ramps ----------------------------------------------------------------------------------------------------------

// y = clip(a x + b, low, high); comparisons are false for NaN, so it passes through.
template <class C>
struct Ramp {
    C a, b, low, high;

    explicit __device__ __forceinline__ Ramp(const float64* four)
        : a(C(four[0])), b(C(four[1])), low(C(four[2])), high(C(four[3])) {}

    __device__ __forceinline__ C operator()(C x) const {
        C y = a * x + b;
        y = y < low ? low : y;
        return y > high ? high : y;
    }
    // True when nothing changes but the sign of a zero.
    __device__ __forceinline__ bool is_identity() const {
        return a == 1 && b == 0 && low < 0 && 1 / low == 0 && high > 0 && 1 / high == 0;
    }
};

// Results of one read: a Ramp and a value outside for each channel.
struct Channels {
    static constexpr int MOST = 8;
    float64 ramp[MOST][4];
    float64 outside[MOST];
    int64 step;  // elements from one channel of the output to the next
    int32 count;
    int32 padding;
};

// The channels of a result. The first Ramp waits in registers: a job's memory might be what the kernel writes, for all
// the compiler knows, and would be read again for every voxel.
template <class C, class Out>
class Finish {
    Ramp<C> first;
    int32 count;
    const Channels& channels;

  public:
    explicit __device__ __forceinline__ Finish(const Channels& c) : first(c.ramp[0]), count(c.count), channels(c) {}

    __device__ __forceinline__ void operator()(Out* out, C value) const {
        *out = Cast<Out>::of(first(value));
#pragma unroll 1
        for (int k = 1; k < count; k++) out[k * channels.step] = Cast<Out>::of(Ramp<C>(channels.ramp[k])(value));
    }
};

template <class Out>
__device__ __forceinline__ void finish_outside(const Channels& channels, Out* out) {
#pragma unroll 1
    for (int k = 0; k < channels.count; k++) out[k * channels.step] = Cast<Out>::of(channels.outside[k]);
}

// ---- jobs -----------------------------------------------------------------------------------------------------------

// A launch does one job, which comes by value, or many: job i has the blocks first[i] <= block < first[i + 1].
template <class Job>
struct Jobs {
    const Job* many;
    const uint32* first;
    int32 count;
    int32 padding;
};

// The job of this block; ``block`` becomes its number within the job.
template <class Job>
__device__ __forceinline__ const Job& find_job(const Job& one, const Jobs<Job>& jobs, uint32& block) {
    block = blockIdx.x;
    if (jobs.count == 0) return one;
    int32 low = 0, high = jobs.count;
    while (high - low > 1) {
        const int32 middle = (low + high) / 2;
        if (jobs.first[middle] <= block) low = middle; else high = middle;
    }
    block -= jobs.first[low];
    return jobs.many[low];
}
