// out[b, p] = argmax_c linear(x[b] == c) at matrix p: the label with the largest interpolated weight, the lowest on a tie
#include "common.cuh"

constexpr int ONEHOT_THREADS = 256;

struct OnehotJob {
    const void* x;
    void* out;
    int64 strides[4];
    int64 o_strides[3];  // of b, z, y
    int64 count;  // outputs
    int32 size[3];
    int32 shape[3];
    float64 matrix[3][4];
    uint64 fill;
};

template <class T>
__global__ void __launch_bounds__(ONEHOT_THREADS)
onehot(const __grid_constant__ OnehotJob one, const Jobs<OnehotJob> jobs) {
    uint32 block;
    const OnehotJob& job = find_job(one, jobs, block);
    const int64 at = int64(block) * ONEHOT_THREADS + threadIdx.x;
    if (at >= job.count) return;
    const int32 x = int32(at % job.shape[2]), y = int32(at / job.shape[2] % job.shape[1]);
    const int32 z = int32(at / job.shape[2] / job.shape[1] % job.shape[0]);
    const int64 b = at / job.shape[2] / job.shape[1] / job.shape[0];
    int64 low[3], high[3];
    float64 share[3];
    bool inside = true;
#pragma unroll
    for (int axis = 0; axis < 3; axis++) {
        const float64* const row = job.matrix[axis];
        const float64 c = row[0] * z + row[3] + row[1] * y + row[2] * x, base = floor(c);
        const int32 n = job.size[axis];
        inside = inside && -0.5 <= c && c < n - 0.5;
        share[axis] = c - base;
        low[axis] = (base < 0 ? 0 : base > n - 1 ? n - 1 : int32(base)) * job.strides[axis + 1];
        high[axis] = (base + 1 < 0 ? 0 : base + 1 > n - 1 ? n - 1 : int32(base) + 1) * job.strides[axis + 1];
    }
    T* const out = static_cast<T*>(job.out) + b * job.o_strides[0] + z * job.o_strides[1] + y * job.o_strides[2] + x;
    if (!inside) {
        *out = T(job.fill);
        return;
    }
    const T* const source = static_cast<const T*>(job.x) + b * job.strides[0];
    T label[8];
    float64 weight[8];
#pragma unroll
    for (int i = 0; i < 8; i++) {
        label[i] = source[(i & 4 ? high[0] : low[0]) + (i & 2 ? high[1] : low[1]) + (i & 1 ? high[2] : low[2])];
        weight[i] = i & 4 ? share[0] : 1 - share[0];
        weight[i] *= i & 2 ? share[1] : 1 - share[1];
        weight[i] *= i & 1 ? share[2] : 1 - share[2];
    }
    T best = label[0];
    float64 most = -1;
#pragma unroll
    for (int i = 0; i < 8; i++) {
        bool known = false;
        float64 total = weight[i];
#pragma unroll
        for (int j = 0; j < 8; j++) {
            if (j < i) known = known || label[j] == label[i];
            if (j > i && label[j] == label[i]) total += weight[j];
        }
        // Weights that are equal on paper differ by rounding: only a clear lead wins.
        const float64 lead = total - most;
        if (!known && (i == 0 || lead > 1e-9 || (lead > -1e-9 && label[i] < best))) {
            best = label[i];
            most = total;
        }
    }
    *out = best;
}
