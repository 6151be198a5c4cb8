// corrected = x / exp(field), and the field itself: a read and a write of each voxel
#include "separable.cuh"

constexpr int FIELD_ROWS = 32;

struct FieldJob {
    const void* x;
    void* corrected;
    float32* log_field;
    const float64* lattice;
    int64 strides[4];
    int32 shape[4];
    AxisTable axes[3];
};

// A block has FIELD_ROWS rows of one plane, a warp 32 voxels of a row at a time.
template <class In, class Out>
__global__ void __launch_bounds__(256, 4)
field(const __grid_constant__ FieldJob job) {
    DYNAMIC_SHARED(float32, rows);
    const int32 depth = job.shape[1], height = job.shape[2], width = job.shape[3], kx = job.axes[2].controls;
    const int32 strips = (height + FIELD_ROWS - 1) / FIELD_ROWS;
    const int32 y0 = int32(blockIdx.x % strips) * FIELD_ROWS, z = int32(blockIdx.x / strips) % depth;
    const int32 b = int32(blockIdx.x / strips) / depth;
    const int32 y1 = y0 + FIELD_ROWS < height ? y0 + FIELD_ROWS : height;
    row_controls(job.lattice + int64(b) * job.axes[0].controls * job.axes[1].controls * kx, job.axes, z, y0, y1, rows);
    for (int32 y = y0 + int32(threadIdx.x) / 32; y < y1; y += 8) {
        const int64 out = ((int64(b) * depth + z) * height + y) * width;
        const In* const x =
            static_cast<const In*>(job.x) + b * job.strides[0] + z * job.strides[1] + y * job.strides[2];
        for (int32 i = threadIdx.x % 32; i < width; i += 32) {
            const float32 f = field_at(rows + (y - y0) * kx, job.axes[2], i);
            if (job.log_field) job.log_field[out + i] = f;
            if (!job.corrected) continue;
            const float32 inverse = 1.0f + exponential_less_one(-f);
            static_cast<Out*>(job.corrected)[out + i] =
                Cast<Out>::of(number<float64>(x[i * job.strides[3]]) * float64(inverse));
        }
    }
}
