// Neighbouring numbers that move between memory and registers as one word.
#pragma once
#include "common.cuh"

// N numbers that move as one word of N * sizeof(T) bytes.
template <int BYTES>
struct Word;
template <>
struct Word<1> { uint8 a; };
template <>
struct Word<2> { uint16 a; };
template <>
struct Word<4> { uint32 a; };
template <>
struct alignas(8) Word<8> { uint32 a, b; };
template <>
struct alignas(16) Word<16> { uint32 a, b, c, d; };

template <class T, int N>
struct Pack {
    using Moved = Word<N * sizeof(T)>;
    T v[N];

    __device__ __forceinline__ void load(const T* from) {
        const Moved word = *reinterpret_cast<const Moved*>(from);
        memcpy(v, &word, sizeof(word));
    }
    __device__ __forceinline__ void store(T* to) const {
        Moved word;
        memcpy(&word, v, sizeof(word));
        *reinterpret_cast<Moved*>(to) = word;
    }
};
