// out[k] = clip(a_k x + b_k, lo_k, hi_k)
#include "pointwise.cuh"

template <class In, class Out>
__global__ void __launch_bounds__(POINTWISE_THREADS, 2)
ramp(const __grid_constant__ RampJob one, const Jobs<RampJob> jobs) {
    pointwise<Ramp, In, Out>(one, jobs);
}
