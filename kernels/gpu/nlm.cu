// Non-local means (Buades, Coll, Morel 2005): a mean of the voxels around, each weighted by how alike their patches are
//
// Bytes: x once into a float32 copy with mirrored margins, that once, the result once; the rest is arithmetic. A warp
// has 32 neighbours along x, a thread some voxels of their rows and planes: of each shift it takes the differences of
// its own column, sums their squares along z and y in registers and along x by shuffles; the lanes at a warp's ends
// are there for their neighbours alone. Of patch 3 in 3-D a voxel and shift take 2.25 loads, 2 shuffles and some 35
// instructions. Both of t and -t are computed: nothing is added to another's sum, so the bits are always the same.
#include "mirror.cuh"

constexpr int NLM_THREADS = 128;
// CUTOFF, SLOPE and WORD of core/similar.py.
constexpr float64 NLM_CUTOFF = 5, NLM_SLOPE = 1512775.3951951856938;
constexpr int64 NLM_WORD = 1072632447;

struct PadJob {
    const void* x;
    void* out;
    float64* origins;  // of each volume its first voxel, which all are told from; null where nothing is
    int64 strides[4];
    int64 size, volumes;  // all padded volumes
    int64 shape[3], padded[3];
    int64 margin[3];  // voxels before the first
};

// x as C, mirrored beyond its borders.
template <class T, class C>
__global__ void __launch_bounds__(NLM_THREADS)
pad(const __grid_constant__ PadJob job) {
    const int64 i = int64(blockIdx.x) * NLM_THREADS + threadIdx.x;
    if (i >= job.size) return;
    int64 rest = i;
    int64 from = mirror(rest % job.padded[2] - job.margin[2], job.shape[2]) * job.strides[3];
    rest /= job.padded[2];
    from += mirror(rest % job.padded[1] - job.margin[1], job.shape[1]) * job.strides[2];
    rest /= job.padded[1];
    from += mirror(rest % job.padded[0] - job.margin[0], job.shape[0]) * job.strides[1];
    const int64 volume = rest / job.padded[0];
    const T* const x = static_cast<const T*>(job.x) + volume * job.strides[0];
    C value = number<C>(x[from]);
    if (job.origins != nullptr) {
        const float64 origin = number<float64>(*x);
        value = C(number<float64>(x[from]) - origin);
        if (i % (job.size / job.volumes) == 0) job.origins[volume] = origin;
    }
    static_cast<C*>(job.out)[i] = value;
}

struct LiftJob {
    const float32* x;
    void* out;
    const float64* origins;
    int64 size, volumes;
};

// What was told from an origin.
template <class Out>
__global__ void __launch_bounds__(NLM_THREADS)
lift(const __grid_constant__ LiftJob job) {
    const int64 i = int64(blockIdx.x) * NLM_THREADS + threadIdx.x;
    if (i < job.size * job.volumes) static_cast<Out*>(job.out)[i] = Out(job.origins[i / job.size] + float64(job.x[i]));
}

// What the weights of a volume are made with.
struct Noise {
    float64 noise;  // what noise alone makes of a patch's sum of squares
    float64 scale;  // a sum as the exponent of its weight
    float64 bias;  // what noise adds to squares, where they are averaged
};

struct NlmJob {
    const void* x;
    void* out;
    const Noise* noises;
    int64 shape[3];
    int64 volume, plane, row;  // steps in x
    int64 first;  // of x, the voxel that is the first of the image
    int64 tiles[3];  // blocks along each axis
    int32 low[3], high[3];  // the patch, both ends included
    int32 reach[3];
    int32 rician;
};

// The place of a block among those of a volume.
struct Place {
    int64 volume, z, y, x;

    explicit __device__ __forceinline__ Place(const NlmJob& job) {
        int64 rest = blockIdx.x;
        x = rest % job.tiles[2];
        rest /= job.tiles[2];
        y = rest % job.tiles[1];
        rest /= job.tiles[1];
        z = rest % job.tiles[0];
        volume = rest / job.tiles[0];
    }
};

// Sums are of differences from the voxel itself, so that no large mean costs digits: of values, or of squares.
template <class C>
struct Mean {
    C sum = 0, weight = 0;

    __device__ __forceinline__ void add(C w, C difference, C own, bool rician) {
        weight += w;
        sum = fused(w, rician ? difference * (difference + 2 * own) : difference, sum);
    }
    __device__ __forceinline__ C value(C own, bool rician, C bias) const {
        const C mean = sum / weight;
        if (!rician) return own + mean;
        const C square = own * own + mean - bias;
        return square > 0 ? C(sqrt(square)) : 0;
    }
};

// Weights by a patch's sum of squares.
template <class C>
struct Weigh {
    C noise, scale;

    explicit __device__ __forceinline__ Weigh(const Noise& n) : noise(C(n.noise)), scale(C(n.scale)) {}
    __device__ __forceinline__ C distance(C sum) const {
        const C more = sum - noise;
        return scale * (more > 0 ? more : 0);
    }
    __device__ __forceinline__ C operator()(C sum) const { return exponential(-distance(sum)); }
    // Of scikit-image's fast mode, as core/similar.py has it: a line as the high word of a float64, up to a cut-off.
    __device__ __forceinline__ float64 quick(C sum) const {
        const C d = distance(sum);
        return d > NLM_CUTOFF ? 0 : __longlong_as_double((NLM_WORD - int64(NLM_SLOPE * d)) << 32);
    }
};

// Of v in the lanes up to R to either side, in a fixed order.
template <int R>
__device__ __forceinline__ float32 sum_of_lanes(float32 v) {
    constexpr uint32 ALL = 0xffffffffu;
    if (R == 0) return v;
    const float32 next = __shfl_down_sync(ALL, v, 1);
    if (R == 1) return __shfl_up_sync(ALL, v, 1) + v + next;
    if (R == 2) {
        const float32 two = v + next;
        return __shfl_up_sync(ALL, two, 2) + two + __shfl_down_sync(ALL, v, 2);
    }
    const float32 three = v + next + __shfl_down_sync(ALL, v, 2);
    return __shfl_up_sync(ALL, three, 3) + three + __shfl_down_sync(ALL, v, 3);
}

// Patches of radius RZ along z and R along y and x. A thread has Z times Y voxels; a block's warps are side by side.
template <int RZ, int R, int Z, int Y, int WARPS_Z>
__global__ void __launch_bounds__(NLM_THREADS, RZ == 0 ? 4 : 2)
nlm(const __grid_constant__ NlmJob job) {
    static_assert(R <= 3, "sum_of_lanes");
    constexpr int PLANES = Z + 2 * RZ, ROWS = Y + 2 * R, RING = 2 * RZ + 1, WARPS_Y = NLM_THREADS / 32 / WARPS_Z;
    const Place place(job);
    const int32 lane = threadIdx.x % 32, warp = threadIdx.x / 32;
    const int64 z = (place.z * WARPS_Z + warp / WARPS_Y) * Z, y = (place.y * WARPS_Y + warp % WARPS_Y) * Y;
    const int64 x = place.x * (32 - 2 * R) - R + lane;
    // The margins end with a whole tile.
    const float32* const volume = static_cast<const float32*>(job.x) + place.volume * job.volume + job.first;
    const float32* const here = volume + (z - RZ) * job.plane + (y - R) * job.row + x;
    // As far as a thread's own voxels reach, 32 bits do.
    const int32 plane = int32(job.plane), row = int32(job.row);
    float32 own[PLANES][ROWS];
#pragma unroll
    for (int k = 0; k < PLANES; k++)
#pragma unroll
        for (int j = 0; j < ROWS; j++) own[k][j] = here[k * plane + j * row];
    const Noise noise = job.noises[place.volume];
    const Weigh<float32> weigh(noise);
    const bool rician = job.rician != 0;
    Mean<float32> means[Z][Y];
    const int32 rz = job.reach[0], ry = job.reach[1], rx = job.reach[2];
#pragma unroll 1
    for (int32 tz = -rz; tz <= rz; tz++)
#pragma unroll 1
        for (int32 ty = -ry; ty <= ry; ty++)
#pragma unroll 1
            for (int32 tx = -rx; tx <= rx; tx++) {
                const float32* const there = here + tz * job.plane + ty * job.row + tx;
                float32 differences[PLANES][Y], sums[RING][Y];
#pragma unroll
                for (int k = 0; k < PLANES; k++) {
                    float32 squares[ROWS];
#pragma unroll
                    for (int j = 0; j < ROWS; j++) {
                        const float32 d = there[k * plane + j * row] - own[k][j];
                        squares[j] = d * d;
                        if (j >= R && j < R + Y) differences[k][j - R] = d;
                    }
#pragma unroll
                    for (int j = 0; j < Y; j++) {
                        float32 sum = squares[j];
#pragma unroll
                        for (int i = 1; i <= 2 * R; i++) sum += squares[j + i];
                        sums[k % RING][j] = sum;
                    }
                    if (k < 2 * RZ) continue;
#pragma unroll
                    for (int j = 0; j < Y; j++) {
                        float32 sum = sums[(k - 2 * RZ) % RING][j];
#pragma unroll
                        for (int i = 1; i < RING; i++) sum += sums[(k - 2 * RZ + i) % RING][j];
                        const float32 w = weigh(sum_of_lanes<R>(sum));
                        means[k - 2 * RZ][j].add(w, differences[k - RZ][j], own[k - RZ][j + R], rician);
                    }
                }
            }
    if (lane < R || lane >= 32 - R || x >= job.shape[2]) return;
    float32* const out =
        static_cast<float32*>(job.out) + ((place.volume * job.shape[0] + z) * job.shape[1] + y) * job.shape[2] + x;
#pragma unroll
    for (int k = 0; k < Z; k++)
#pragma unroll
        for (int j = 0; j < Y; j++)
            if (z + k < job.shape[0] && y + j < job.shape[1])
                out[(k * job.shape[1] + j) * job.shape[2]] =
                    means[k][j].value(own[k + RZ][j + R], rician, float32(noise.bias));
}

// Patches of any size: one voxel a thread, each patch summed by itself.
template <class C, bool COMPATIBLE>
__global__ void __launch_bounds__(NLM_THREADS, 8)
nlm_any(const __grid_constant__ NlmJob job) {
    const Place place(job);
    const int64 x = place.x * NLM_THREADS + threadIdx.x, plane = job.plane, row = job.row;
    if (x >= job.shape[2]) return;
    const C* const here =
        static_cast<const C*>(job.x) + place.volume * job.volume + job.first + place.z * plane + place.y * row + x;
    const C own = *here;
    const Noise noise = job.noises[place.volume];
    const Weigh<C> weigh(noise);
    Mean<C> mean;
    for (int32 tz = -job.reach[0]; tz <= job.reach[0]; tz++)
        for (int32 ty = -job.reach[1]; ty <= job.reach[1]; ty++)
            for (int32 tx = -job.reach[2]; tx <= job.reach[2]; tx++) {
                const int64 shift = tz * plane + ty * row + tx;
                C sum = 0;
                for (int32 k = job.low[0]; k <= job.high[0]; k++)
                    for (int32 j = job.low[1]; j <= job.high[1]; j++)
                        for (int32 i = job.low[2]; i <= job.high[2]; i++) {
                            const C* const at = here + k * plane + j * row + i;
                            const C d = at[shift] - *at;
                            sum = fused(d, d, sum);
                        }
                const C w = COMPATIBLE ? C(weigh.quick(sum)) : weigh(sum);
                mean.add(w, here[shift] - own, own, job.rician != 0);
            }
    static_cast<C*>(job.out)[((place.volume * job.shape[0] + place.z) * job.shape[1] + place.y) * job.shape[2] + x] =
        mean.value(own, job.rician != 0, C(noise.bias));
}
