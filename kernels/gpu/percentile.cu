// The values either side of each quantile: the digits of their places in order, from the highest on
//
// Bytes: x and the mask once for each digit, of 11 bits but the last; types of 8 and 16 bits have one, see counts.cu. Each
// read counts the next digit of those voxels whose digits so far are those of a value that is looked for, and a block
// for each volume finds between the reads where these are. Nothing waits for the host.
#include "order.cuh"
#include "chunks.cuh"

constexpr int PERCENTILE_VOXELS = 64;
constexpr int DIGIT_BINS = 2048;
// Values so far that a block counts the digits of in shared memory; those of more are counted where the result is.
constexpr int SHARED_SLOTS = 4;
// Values that are looked for in one go: two for each of 32 quantiles.
constexpr int MOST_WANTED = 64;

// What is known of a volume.
struct Found {
    uint64 count, nan;
    int64 slots;  // different beginnings of what is looked for
    uint64 beginnings[MOST_WANTED];  // in order
    uint64 begins[MOST_WANTED];  // of each value
    uint64 ranks[MOST_WANTED];  // its place among those that begin so
    int64 slot[MOST_WANTED];
    float64 values[MOST_WANTED];
};

struct DigitsJob {
    BatchJob voxels;  // its result are the founds
    uint64* counts;  // of a volume `wanted` times DIGIT_BINS
    int32 wanted;
    int32 shift;  // bits below this digit
    int32 bits;  // of it
    int32 first;  // no digit is known yet
};

template <class T>
struct Digits {
    using Key = typename Order<T>::Key;
    uint32* const here;
    uint64* const there;
    const uint64* const beginnings;
    const int32 slots, shift, bits;
    int32 at = 0;
    uint32 run = 0, nan = 0;

    __device__ __forceinline__ Digits(uint32* h, uint64* t, const uint64* b, int32 n, const DigitsJob& job)
        : here(h), there(t), beginnings(b), slots(n), shift(job.shift), bits(job.bits) {}
    __device__ __forceinline__ void operator()(T value) {
        const Key whole = order_of(value);
        if (Order<T>::FLOATS && whole == Key(~Key(0))) {
            nan++;
            return;
        }
        const uint64 key = uint64(whole) >> shift, begin = key >> bits;
        int32 low = 0, high = slots;
        while (high - low > 1) {
            const int32 middle = (low + high) / 2;
            if (beginnings[middle] <= begin) low = middle; else high = middle;
        }
        if (slots == 0 || beginnings[low] != begin) return;
        const int32 k = low * DIGIT_BINS + int32(key & ((uint64(1) << bits) - 1));
        if (k != at) add();
        at = k;
        run++;
    }
    __device__ __forceinline__ void add() {
        if (run == 0) return;
        if (at < SHARED_SLOTS * DIGIT_BINS) atomicAdd(here + at, run); else atomicAdd(there + at, uint64(run));
        run = 0;
    }
};

template <class T>
__global__ void __launch_bounds__(CHUNK_THREADS, 4)
digits(const __grid_constant__ DigitsJob one, const Jobs<DigitsJob> jobs) {
    __shared__ uint32 here[SHARED_SLOTS * DIGIT_BINS];
    __shared__ uint64 beginnings[MOST_WANTED];
    uint32 block;
    const DigitsJob& job = find_job(one, jobs, block);
    const int64 volume = block / job.voxels.chunks, chunk = block % job.voxels.chunks;
    Found& found = static_cast<Found*>(job.voxels.one.out)[volume];
    const int32 slots = job.first ? 1 : int32(found.slots), inside = slots < SHARED_SLOTS ? slots : SHARED_SLOTS;
    uint64* const there = job.counts + volume * job.wanted * DIGIT_BINS;
    for (int32 k = threadIdx.x; k < inside * DIGIT_BINS; k += CHUNK_THREADS) here[k] = 0;
    if (int32(threadIdx.x) < slots) beginnings[threadIdx.x] = job.first ? 0 : found.beginnings[threadIdx.x];
    __syncthreads();
    Digits<T> visit(here, there, beginnings, slots, job);
    each_inside<T, PERCENTILE_VOXELS, sizeof(T) < 8 ? 2 : 4>(job.voxels, volume, chunk, visit);
    visit.add();
    if (job.first && visit.nan > 0) atomicAdd(&found.nan, uint64(visit.nan));
    __syncthreads();
    for (int32 k = threadIdx.x; k < inside * DIGIT_BINS; k += CHUNK_THREADS)
        if (here[k] > 0) atomicAdd(there + k, uint64(here[k]));
}

struct PlaceJob {
    uint64* counts;
    Found* founds;
    const float64* q;  // in order; value 2i is below quantile i, value 2i + 1 above
    int64 step;  // counts of a volume
    int32 wanted;
    int32 bits;  // of this digit
    int32 first, last;
};

// Sums before each of so many groups of bins.
constexpr int GROUPS_A_THREAD = 4;
constexpr int GROUPS = GROUPS_A_THREAD * CHUNK_THREADS;

// starts[g] = how many lie in the bins before group g of ``size``; returns how many there are.
__device__ __forceinline__ uint64 sum_groups(const uint64* counts, int32 bins, int32 size, uint64* starts, uint64* sums) {
    uint64 mine = 0;
    for (int32 g = threadIdx.x * GROUPS_A_THREAD; g < int32(threadIdx.x + 1) * GROUPS_A_THREAD; g++) {
        starts[g] = mine;
        for (int32 k = g * size; k < (g + 1) * size && k < bins; k++) mine += counts[k];
    }
    sums[threadIdx.x] = mine;
    __syncthreads();
    for (int32 step = 1; step < CHUNK_THREADS; step *= 2) {
        const uint64 before = int32(threadIdx.x) >= step ? sums[threadIdx.x - step] : 0;
        __syncthreads();
        sums[threadIdx.x] += before;
        __syncthreads();
    }
    const uint64 before = threadIdx.x > 0 ? sums[threadIdx.x - 1] : 0, all = sums[CHUNK_THREADS - 1];
    for (int32 g = threadIdx.x * GROUPS_A_THREAD; g < int32(threadIdx.x + 1) * GROUPS_A_THREAD; g++) starts[g] += before;
    __syncthreads();
    return all;
}

// The digit of every value that is looked for, in one block for a volume, and zeros for the next.
template <class T>
__global__ void __launch_bounds__(CHUNK_THREADS)
place(const __grid_constant__ PlaceJob one, const Jobs<PlaceJob> jobs) {
    __shared__ uint64 starts[GROUPS], sums[CHUNK_THREADS];
    uint32 block;
    const PlaceJob& job = find_job(one, jobs, block);
    Found& found = job.founds[block];
    uint64* const counts = job.counts + block * job.step;
    const int32 i = threadIdx.x, bins = 1 << job.bits, size = bins > GROUPS ? bins / GROUPS : 1;
    const int32 slots = job.first ? 1 : int32(found.slots);
    for (int32 s = 0; s < slots; s++) {
        const uint64* const mine = counts + s * DIGIT_BINS;
        const uint64 all = sum_groups(mine, bins, size, starts, sums);
        if (job.first) {
            // Where there is one digit NaN is a value of its own, the last; else it has been left out.
            const uint64 nan = Order<T>::FLOATS && sizeof(T) <= 2 ? mine[bins - 1] : 0;
            const uint64 n = all - nan, last = n > 0 ? n - 1 : 0;
            if (i == 0) {
                found.count = n;
                if (sizeof(T) <= 2) found.nan = nan;
            }
            if (i < job.wanted) {
                // NumPy's: the place of quantile q among n values is (n - 1) q.
                const uint64 floor = uint64(float64(last) * job.q[i / 2]), below = floor < last ? floor : last;
                found.ranks[i] = i % 2 == 0 || below == last ? below : below + 1;
                found.begins[i] = 0;
                found.slot[i] = n > 0 ? 0 : -1;
            }
        }
        if (i < job.wanted && found.slot[i] == s) {
            uint64 rank = found.ranks[i];
            int32 low = 0, high = GROUPS;
            while (high - low > 1) {
                const int32 middle = (low + high) / 2;
                if (starts[middle] <= rank) low = middle; else high = middle;
            }
            rank -= starts[low];
            int32 k = low * size;
            while (k < bins - 1 && rank >= mine[k]) rank -= mine[k++];
            found.ranks[i] = rank;
            found.begins[i] = found.begins[i] << job.bits | uint64(k);
        }
        __syncthreads();
    }
    if (job.last) {
        using Key = typename Order<T>::Key;
        if (i < job.wanted) found.values[i] = number<float64>(Order<T>::back(Key(found.begins[i])));
        return;
    }
    if (i == 0) {
        // In order but for values above a quantile, which those below the next may precede.
        int32 n = 0;
        for (int32 w = 0; w < job.wanted && found.count > 0; w++) {
            const uint64 begin = found.begins[w];
            if (n > 1 && found.beginnings[n - 2] == begin) {
                found.slot[w] = n - 2;
                continue;
            }
            if (n == 0 || found.beginnings[n - 1] != begin) found.beginnings[n++] = begin;
            found.slot[w] = n - 1;
        }
        found.slots = n;
    }
    for (int32 k = i; k < job.wanted * DIGIT_BINS; k += CHUNK_THREADS) counts[k] = 0;
}
