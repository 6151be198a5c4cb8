// out[k] = level_k / x where x is above 0, else 0
#include "pointwise.cuh"

// The first of four numbers is the level.
template <class C>
struct Reciprocal {
    C level;

    explicit __device__ __forceinline__ Reciprocal(const float64* four) : level(C(four[0])) {}

    // Comparisons are false for NaN.
    __device__ __forceinline__ C operator()(C x) const { return x > C(0) ? level / x : C(0); }
};

template <class In, class Out>
__global__ void __launch_bounds__(POINTWISE_THREADS, 2)
reciprocal(const __grid_constant__ RampJob one, const Jobs<RampJob> jobs) {
    pointwise<Reciprocal, In, Out>(one, jobs);
}
