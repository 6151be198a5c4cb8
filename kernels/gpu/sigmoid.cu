// out[k] = lo_k + (hi_k - lo_k) / (1 + exp(-(a_k x + b_k))): DICOM's SIGMOID VOI function
#include "pointwise.cuh"

// The Ramp of the exponent, bounded by the output's range.
template <class C>
struct Logistic : Ramp<C> {
    using Ramp<C>::Ramp;

    __device__ __forceinline__ C operator()(C x) const {
        return this->low + (this->high - this->low) / (C(1) + exponential(-(this->a * x + this->b)));
    }
};

template <class In, class Out>
__global__ void __launch_bounds__(POINTWISE_THREADS, 2)
sigmoid(const __grid_constant__ RampJob one, const Jobs<RampJob> jobs) {
    pointwise<Logistic, In, Out>(one, jobs);
}
