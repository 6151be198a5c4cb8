// out[k] = lo_k + (hi_k - lo_k) / (1 + exp(-(a_k x + b_k))): DICOM's SIGMOID VOI function
#include "pointwise.cuh"

template <class C>
struct Logistic {
    C a, b, low, high;

    explicit __device__ __forceinline__ Logistic(const float64* four)
        : a(C(four[0])), b(C(four[1])), low(C(four[2])), high(C(four[3])) {}

    __device__ __forceinline__ C operator()(C x) const { return low + (high - low) / (C(1) + exponential(-(a * x + b))); }
};

template <class In, class Out>
__global__ void __launch_bounds__(POINTWISE_THREADS, 2)
sigmoid(const __grid_constant__ PointwiseJob one, const Jobs<PointwiseJob> jobs) {
    pointwise<Logistic, In, Out>(one, jobs);
}
