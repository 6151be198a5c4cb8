// The median of the box around each voxel, exactly: of values as whole numbers in their order
//
// Bytes: x once and its halos, the result once. A block has a tile with its halo in shared memory. Small boxes are
// reduced in registers: of any more than half of the values the least and the largest are not the median, and make room
// for the next (Paeth 1990). Others are halved: the values not above the middle of those that are left are counted, and
// the least and largest of what remains are values themselves, so few passes are enough. Tiles that do not fit are read
// from the volume.
#include "mirror.cuh"

constexpr int MEDIAN_THREADS = 256, MEDIAN_WARPS = MEDIAN_THREADS / 32;

struct MedianJob {
    const void* x;
    void* out;
    int64 strides[4];
    int64 shape[3];
    int64 tiles[3];
    uint64 infinity;  // the bits of it, of floats
    int32 reach[3];
    int32 tile[2];  // planes and rows
    int32 floats, is_signed;
    int32 padding;
};

// Values of a width as numbers in their order; NaN comes last.
template <class K>
class Keys {
    K infinity;
    bool floats, is_signed;

  public:
    static constexpr K TOP = K(K(1) << (8 * sizeof(K) - 1)), NAN_KEY = K(~K(0));

    explicit __device__ __forceinline__ Keys(const MedianJob& job)
        : infinity(K(job.infinity)), floats(job.floats != 0), is_signed(job.is_signed != 0) {}

    __device__ __forceinline__ K of(K bits) const {
        if (!floats) return is_signed ? K(bits ^ TOP) : bits;
        if (K(bits & K(~TOP)) > infinity) return NAN_KEY;
        return bits & TOP ? K(~bits) : K(bits | TOP);
    }
    __device__ __forceinline__ K back(K key) const {
        if (!floats) return is_signed ? K(key ^ TOP) : key;
        return key & TOP ? K(key ^ TOP) : K(~key);
    }
    __device__ __forceinline__ bool is_nan(K key) const { return floats && key == NAN_KEY; }
};

// What registers hold of keys.
template <int BYTES>
struct Held { using type = uint32; };
template <>
struct Held<8> { using type = uint64; };

template <class K>
struct Place {
    const K* x;  // of the volume
    int64 z, y, column, volume;

    __device__ __forceinline__ Place(const MedianJob& job, int32 planes, int32 rows) {
        int64 rest = blockIdx.x;
        column = rest % job.tiles[2] * 32;
        rest /= job.tiles[2];
        y = rest % job.tiles[1] * rows;
        rest /= job.tiles[1];
        z = rest % job.tiles[0] * planes;
        volume = rest / job.tiles[0];
        x = static_cast<const K*>(job.x) + volume * job.strides[0];
    }
};

// A tile and its halo, a warp for each row.
template <class K>
__device__ __forceinline__ void load_tile(const MedianJob& job, const Place<K>& place, const Keys<K>& keys,
                                          int32 planes, int32 rows, int32 rz, int32 ry, int32 rx, K* tile) {
    const int32 high = rows + 2 * ry, wide = 32 + 2 * rx;
    const int64 first = place.column - rx, step = job.strides[3];
    const bool inside = first >= 0 && first + wide <= job.shape[2];
    for (int32 line = threadIdx.x / 32; line < (planes + 2 * rz) * high; line += MEDIAN_WARPS) {
        const int64 z = reflect(place.z + line / high - rz, job.shape[0]);
        const int64 y = reflect(place.y + line % high - ry, job.shape[1]);
        const K* const from = place.x + z * job.strides[1] + y * job.strides[2];
        K* const to = tile + line * wide;
        if (inside)
            for (int32 i = threadIdx.x % 32; i < wide; i += 32) to[i] = keys.of(from[(first + i) * step]);
        else
            for (int32 i = threadIdx.x % 32; i < wide; i += 32)
                to[i] = keys.of(from[reflect(first + i, job.shape[2]) * step]);
    }
}

template <class K>
__device__ __forceinline__ void store(const MedianJob& job, const Place<K>& place, int32 dz, int32 dy, K value) {
    const int64 z = place.z + dz, y = place.y + dy, x = place.column + threadIdx.x % 32;
    if (z < job.shape[0] && y < job.shape[1] && x < job.shape[2])
        static_cast<K*>(job.out)[((place.volume * job.shape[0] + z) * job.shape[1] + y) * job.shape[2] + x] = value;
}

// The least of v[0 ... n - 1] becomes the first, the largest the last.
template <int N, int MOST, class V>
__device__ __forceinline__ void ends(V (&v)[MOST]) {
    const auto order = [&v](int a, int b) {
        const V low = v[a] < v[b] ? v[a] : v[b], high = v[a] < v[b] ? v[b] : v[a];
        v[a] = low;
        v[b] = high;
    };
#pragma unroll
    for (int i = 0; i < N / 2; i++) order(i, N - 1 - i);
#pragma unroll
    for (int i = 1; i < (N + 1) / 2; i++) order(0, i);
#pragma unroll
    for (int i = N / 2; i < N - 1; i++) order(i, N - 1);
}

// Of v and those that ``next`` gives one by one.
template <int N, int MOST, class V, class Next>
__device__ __forceinline__ V middle(V (&v)[MOST], const Next& next) {
    ends<N>(v);
    if constexpr (N == 3) return v[1];
    else {
        v[0] = next(2 * MOST - N);
        return middle<N - 1>(v, next);
    }
}

// Boxes of radius RZ along z and R along y and x.
template <class K, int RZ, int R>
__global__ void __launch_bounds__(MEDIAN_THREADS)
median_box(const __grid_constant__ MedianJob job) {
    using V = typename Held<sizeof(K)>::type;
    constexpr int PLANES = RZ > 0 ? 4 : 1, ROWS = 32 / PLANES, HIGH = ROWS + 2 * R, WIDE = 32 + 2 * R;
    constexpr int SIDE = 2 * R + 1, VALUES = (2 * RZ + 1) * SIDE * SIDE, MOST = VALUES / 2 + 2;
    __shared__ K tile[(PLANES + 2 * RZ) * HIGH * WIDE];
    const Place<K> place(job, PLANES, ROWS);
    const Keys<K> keys(job);
    load_tile(job, place, keys, PLANES, ROWS, RZ, R, R, tile);
    __syncthreads();
#pragma unroll 1
    for (int32 line = threadIdx.x / 32; line < PLANES * ROWS; line += MEDIAN_WARPS) {
        const int32 dz = line / ROWS, dy = line % ROWS;
        const K* const box = tile + (dz * HIGH + dy) * WIDE + threadIdx.x % 32;
        bool nan = false;
        const auto value = [&](int i) {
            const K key = box[(i / (SIDE * SIDE) * HIGH + i / SIDE % SIDE) * WIDE + i % SIDE];
            nan |= keys.is_nan(key);
            return V(key);
        };
        V v[MOST];
#pragma unroll
        for (int i = 0; i < MOST; i++) v[i] = value(i);
        const V found = middle<MOST>(v, value);
        store(job, place, dz, dy, keys.back(nan ? Keys<K>::NAN_KEY : K(found)));
    }
}

// The values of a box, of those in a tile or in the volume.
template <class K>
struct InTile {
    const K* box;
    int32 rz, ry, rx, high, wide;

    template <class Visit>
    __device__ __forceinline__ void each(const Visit& visit) const {
        for (int32 k = 0; k <= 2 * rz; k++)
            for (int32 j = 0; j <= 2 * ry; j++) {
                const K* const row = box + (k * high + j) * wide;
                for (int32 i = 0; i <= 2 * rx; i++) visit(row[i]);
            }
    }
};

template <class K>
struct InVolume {
    const MedianJob& job;
    const Keys<K>& keys;
    const K* volume;
    int64 z, y, x;

    template <class Visit>
    __device__ __forceinline__ void each(const Visit& visit) const {
        for (int32 k = -job.reach[0]; k <= job.reach[0]; k++)
            for (int32 j = -job.reach[1]; j <= job.reach[1]; j++) {
                const K* const row = volume + reflect(z + k, job.shape[0]) * job.strides[1] +
                                     reflect(y + j, job.shape[1]) * job.strides[2];
                for (int32 i = -job.reach[2]; i <= job.reach[2]; i++)
                    visit(keys.of(row[reflect(x + i, job.shape[2]) * job.strides[3]]));
            }
    }
};

template <class K, class Box>
__device__ __forceinline__ K halved(const Box& box, int32 count, const Keys<K>& keys) {
    using V = typename Held<sizeof(K)>::type;
    V low = ~V(0), high = 0;
    box.each([&](K key) {
        low = key < low ? key : low;
        high = key > high ? key : high;
    });
    if (keys.is_nan(K(high))) return K(high);
    while (low < high) {
        const V middle = low + (high - low) / 2;
        V under = 0, over = ~V(0);
        int32 below = 0;
        box.each([&](K key) {
            const bool is_under = key <= middle;
            below += is_under;
            under = is_under && key > under ? key : under;
            over = !is_under && key < over ? key : over;
        });
        if (count / 2 < below) high = under; else low = over;
    }
    return K(low);
}

// Boxes of any size.
template <class K, bool TILED>
__global__ void __launch_bounds__(MEDIAN_THREADS, 3)
median_any(const __grid_constant__ MedianJob job) {
    DYNAMIC_SHARED(K, tile);
    const int32 planes = job.tile[0], rows = job.tile[1];
    const int32 rz = job.reach[0], ry = job.reach[1], rx = job.reach[2], high = rows + 2 * ry, wide = 32 + 2 * rx;
    const int32 count = (2 * rz + 1) * (2 * ry + 1) * (2 * rx + 1);
    const Place<K> place(job, planes, rows);
    const Keys<K> keys(job);
    if (TILED) load_tile(job, place, keys, planes, rows, rz, ry, rx, tile);
    __syncthreads();
    const int64 x = place.column + threadIdx.x % 32;
    if (x >= job.shape[2]) return;
#pragma unroll 1
    for (int32 line = threadIdx.x / 32; line < planes * rows; line += MEDIAN_WARPS) {
        const int32 dz = line / rows, dy = line % rows;
        const int64 z = place.z + dz, y = place.y + dy;
        if (z >= job.shape[0] || y >= job.shape[1]) continue;
        K found;
        if constexpr (TILED) {
            const InTile<K> box{tile + (dz * high + dy) * wide + threadIdx.x % 32, rz, ry, rx, high, wide};
            found = halved<K>(box, count, keys);
        } else {
            found = halved<K>(InVolume<K>{job, keys, place.x, z, y, x}, count, keys);
        }
        store(job, place, dz, dy, keys.back(found));
    }
}
