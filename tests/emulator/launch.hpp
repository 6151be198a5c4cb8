// A launch: blocks one after another, each in shared memory that holds nothing of the one before.
//
// __shared__ is `static thread_local`: that puts every such array, of templates too, into one segment of the library
// that can be found and poisoned. Nothing else may be thread_local. One launch at a time per library: a lock holds it.
#pragma once

#include <link.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <wchar.h>

#include "scheduler.hpp"

namespace emulator {

// ---- Shared memory

static thread_local int first_shared;  // without one, there might be no segment to find

struct Bytes {
    void* start;
    size_t size;
};

// The calling thread's __shared__ variables of this very library.
inline int find_static_shared(dl_phdr_info* info, size_t, void* found) {
    const ElfW(Addr) here = reinterpret_cast<ElfW(Addr)>(&find_static_shared);
    bool ours = false;
    size_t size = 0;
    for (int i = 0; i < info->dlpi_phnum; ++i) {
        const auto& part = info->dlpi_phdr[i];
        const ElfW(Addr) start = info->dlpi_addr + part.p_vaddr;
        ours |= part.p_type == PT_LOAD && here >= start && here - start < part.p_memsz;
        if (part.p_type == PT_TLS) size = part.p_memsz;
    }
    if (ours) *static_cast<Bytes*>(found) = {info->dlpi_tls_data, size};
    return ours;
}

inline void poison(void* start, size_t size) {
    static_assert(sizeof(wchar_t) == sizeof POISON, "wmemset is the fast way to write words");
    wmemset(static_cast<wchar_t*>(start), static_cast<wchar_t>(POISON), size / 4);
    memcpy(static_cast<char*>(start) + size / 4 * 4, &POISON, size % 4);
}

// ---- A launch

struct Kernel {
    void (*run)(void* const*);
    const size_t* sizes;  // of its parameters, up to a 0
};

template <auto function> struct Bound;
template <class... A, void (*function)(A...)> struct Bound<function> {
    static constexpr size_t sizes[] = {sizeof(A)..., 0};
    template <size_t... i> static void call(void* const* p, std::index_sequence<i...>) {
        (void)p;
        function(*static_cast<const A*>(p[i])...);
    }
    static void run(void* const* p) { call(p, std::index_sequence_for<A...>()); }
};

inline uint3 place(unsigned long long i, uint3 size) {
    return {static_cast<unsigned>(i % size.x), static_cast<unsigned>(i / size.x % size.y),
            static_cast<unsigned>(i / size.x / size.y)};
}

inline void run_blocks(size_t shared) {
    Bytes static_shared{};
    asm volatile("" : : "r"(&first_shared));  // touched: this thread has them
    dl_iterate_phdr(find_static_shared, &static_shared);
    const unsigned count = gridDim.x * gridDim.y * gridDim.z;
    auto* blocks = static_cast<unsigned*>(malloc(count * sizeof(unsigned)));
    shuffle(blocks, count);
    for (unsigned i = 0; i < count && !failed; ++i) {
        blockIdx = place(blocks[i], gridDim);
        poison(static_shared.start, static_shared.size);
        poison(dynamic_shared, shared + GUARD);
        run_block();
        for (size_t j = shared; j < shared + GUARD && !failed; ++j) {
            const bool touched = dynamic_shared[j] != (POISON >> j % 4 * 8 & 0xFF);
            if (touched) fail_in_block("something was written behind its dynamic shared memory");
        }
    }
    free(blocks);
}

}  // namespace emulator

// The generated end of the file fills this, one for each kernel. Outside the namespace, whose names may be theirs.
extern const emulator::Kernel emulator_kernels[];

extern "C" __attribute__((visibility("default"))) const size_t* emulator_sizes(unsigned kernel) {
    return emulator_kernels[kernel].sizes;
}

// False with a report, of at most `capacity` bytes, for a launch that failed.
extern "C" __attribute__((visibility("default"))) bool emulator_launch(
    unsigned kernel, const unsigned* blocks, const unsigned* threads, size_t shared, void* const* parameters, int order,
    unsigned long long seed, char* report, size_t capacity) {
    using namespace emulator;
    static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
    pthread_mutex_lock(&lock);
    if (!stacks) {
        void* memory = mmap(nullptr, STACK * MOST_THREADS, PROT_READ | PROT_WRITE,
                            MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        if (memory == MAP_FAILED) abort();
        madvise(memory, STACK * MOST_THREADS, MADV_NOHUGEPAGE);  // of each stack a page or two are used
        stacks = static_cast<char*>(memory);
    }
    emulator::kernel = emulator_kernels[kernel].run;
    emulator::parameters = parameters;
    emulator::order = static_cast<Order>(order);
    emulator::report = report;
    report_left = capacity;
    random_state = seed;
    failed = false;
    gridDim = {blocks[0], blocks[1], blocks[2]};
    blockDim = {threads[0], threads[1], threads[2]};
    thread_count = blockDim.x * blockDim.y * blockDim.z;
    for (unsigned i = 0; i < thread_count; ++i) {
        emulator::threads[i].index = place(i, blockDim);
        if (!emulator::threads[i].idle) create(emulator::threads[i]);
    }
    dynamic_shared = static_cast<unsigned char*>(malloc(shared + GUARD));
    run_blocks(shared);
    free(dynamic_shared);
    const bool ok = !failed;
    pthread_mutex_unlock(&lock);
    return ok;
}
