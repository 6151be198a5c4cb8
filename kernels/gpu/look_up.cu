// out: the lines through the entries of a table, one for each whole number from `first` on; its ends beyond.
//
// Bytes: those of pointwise.cuh; tables of up to 65536 entries stay in the second-level cache.
#include "pointwise.cuh"

struct LookUpJob : PointwiseJob {
    const void* table;  // of C: the last entry twice, for the line that begins with it
    int64 entries;
    float64 first;
};

// A power of two; the addresses of a look-up take registers.
constexpr int SHARE = 2;

template <class C>
struct Entries {
    const C* __restrict__ table;
    C first, last;

    __device__ __forceinline__ C operator()(C x) const {
        // Comparisons are false for NaN, which is no place in a table.
        const C v = x - first;
        C at = v > C(0) ? v : C(0);
        at = at < last ? at : last;
        const int32 j = static_cast<int32>(at);
        const C a = table[j], b = table[j + 1];
        const C y = a + (b - a) * (at - C(j));
        return v == v ? y : v;
    }
};

template <class In, class Out>
__global__ void __launch_bounds__(POINTWISE_THREADS, 2)
look_up(const __grid_constant__ LookUpJob one, const Jobs<LookUpJob> jobs) {
    using C = Compute<In, Out>;
    uint32 block;
    const LookUpJob& job = find_job(one, jobs, block);
    const Entries<C> entries{static_cast<const C*>(job.table), C(job.first), C(job.entries - 1)};
    pointwise<In, Out, SHARE>(job, block, [&](int32) { return entries; });
}
