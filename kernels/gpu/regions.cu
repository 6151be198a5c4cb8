// What is known of each region of a label volume
//
// Bytes: the labels once, and the values where there are labels. A warp goes along rows, and adds up in registers while
// the label is the same.
#include "table.cuh"

// Voxels of a lane that are on their way at once.
constexpr int REGIONS_AHEAD = 4;

struct RegionsJob {
    const void* labels;
    uint64* table;
    int64 strides[3];
    int64 count;
    Values values;
    int32 shape[3];
    int32 kind;  // of the labels
    int32 rows;  // of a warp
    int32 padding;
};

// Values are computed in N: int64, or float64. One block on a multiprocessor at least, said to the compiler so that it does
// not spill for the sake of more.
template <class N>
__global__ void __launch_bounds__(RUNS_THREADS, 1)
regions(const __grid_constant__ RegionsJob job) {
    const int32 lane = threadIdx.x % 32, ny = job.shape[1], nx = job.shape[2];
    const int64 all = int64(job.shape[0]) * ny, first = tile_number() * job.rows;
    const int64 stop = first + job.rows < all ? first + job.rows : all;
    const Values& values = job.values;
    Gather gather(job.table);
#pragma unroll 1
    for (int64 i = first; i < stop; i++) {
        const int32 z = int32(i / ny), y = int32(i % ny);
        const int64 row = z * job.strides[0] + y * job.strides[1], line = z * values.strides[0] + y * values.strides[1];
#pragma unroll 1
        for (int32 x = lane; x - lane < nx; x += 32 * REGIONS_AHEAD) {
            int64 labels[REGIONS_AHEAD];
            load<REGIONS_AHEAD, 32>(job.kind, job.labels, row + x * job.strides[2], job.strides[2], nx - x, labels);
            bool some = false;
#pragma unroll
            for (int k = 0; k < REGIONS_AHEAD; k++) {
                // What is not between 1 and the count is no region's.
                if (labels[k] < 0 || labels[k] > job.count) labels[k] = 0;
                some = some || labels[k] != 0;
            }
            if (__ballot_sync(EVERY_LANE, some) == 0) continue;
            N numbers[REGIONS_AHEAD];
            if (values.x != nullptr && some)
                load<REGIONS_AHEAD, 32>(values.kind, values.x, line + x * values.strides[2], values.strides[2], nx - x, numbers);
            uint32 changes = 0;
#pragma unroll
            for (int k = 0; k < REGIONS_AHEAD; k++) {
                if (!gather.is_kept(labels[k] - 1)) {
                    changes |= 1u << k;
                } else if (labels[k] != 0) {
                    gather.keeps().add_voxels(z, y, x + 32 * k, x + 32 * k + 1);
                    if (values.x != nullptr) add_value(gather.keeps(), values, numbers[k]);
                }
            }
            // Where another region comes in, the voxels are read again.
#pragma unroll 1
            for (; changes != 0; changes &= changes - 1) {
                const int32 at = x + 32 * (__ffs(int32(changes)) - 1);
                int64 label[1];
                load<1, 1>(job.kind, job.labels, row + at * job.strides[2], job.strides[2], nx - at, label);
                const bool here = label[0] > 0 && label[0] <= job.count;
                Row its;
                its.clear();
                if (here) {
                    its.add_voxels(z, y, at, at + 1);
                    if (values.x != nullptr) {
                        N one[1];
                        load<1, 1>(values.kind, values.x, line + at * values.strides[2], values.strides[2], 1, one);
                        add_value(its, values, one[0]);
                    }
                }
                gather.add(here ? label[0] - 1 : -1, its);
            }
        }
    }
    gather.finish();
}
