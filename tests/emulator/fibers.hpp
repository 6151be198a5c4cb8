// The threads of a block as fibers: each has a stack of its own, and gives the one CPU core away only where it waits.
//
// A fiber is made once and runs kernel after kernel: the threads of other blocks, of other launches.
#pragma once

#include <setjmp.h>
#include <stddef.h>
#include <string.h>
#include <ucontext.h>

#ifdef __SANITIZE_ADDRESS__
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#endif

// Here for threadIdx; shim.hpp has the other vector types.
struct uint3 {
    unsigned x, y, z;
};
static uint3 threadIdx, blockIdx, blockDim, gridDim;

namespace emulator {

// NaN as float and as double, -143923 as int: nothing a kernel could mean.
constexpr unsigned POISON = 0xFFFDCDCDu;
constexpr unsigned MOST_THREADS = 1024;
#ifdef __SANITIZE_ADDRESS__
constexpr size_t STACK = 65 << 12, GUARD = 0;  // the sanitizer has guards of its own
#else
constexpr size_t STACK = 17 << 12, GUARD = 64;  // an odd number of pages spreads the stacks over the cache
#endif

enum class State : unsigned char { ready, at_barrier, in_warp, exited };

// A call that waits: `file` and `line` say which one, `mask` is empty for the whole block.
struct Call {
    const char* name;
    const char* file;
    int line;
    unsigned mask;
    bool operator==(const Call& other) const {
        return line == other.line && mask == other.mask && same(name, other.name) && same(file, other.file);
    }
    static bool same(const char* a, const char* b) {
        return a == b || !strcmp(a, b);
    }
};

struct Thread {
    jmp_buf resume;
    void* fake_stack;   // the sanitizer's
    bool idle;          // between two kernels: can be used again
    State state;
    signed char source;  // the lane a shuffle reads
    unsigned votes;      // lanes, or for a barrier the number of threads, that gave something other than 0
    unsigned long long given, received;
    Call call;
    uint3 index;
};

enum Order { forward, reverse, shuffled };

static Thread threads[MOST_THREADS];
static Thread* current;
static unsigned thread_count;
static char* stacks;
static jmp_buf scheduler;
static void* scheduler_fake_stack;
static const void* scheduler_stack;
static size_t scheduler_stack_size;
static void (*kernel)(void* const*);
static void* const* parameters;
static unsigned char* dynamic_shared;
static Order order;
static unsigned long long random_state;
static char* report;
static size_t report_left;
static bool failed;

inline void leaves_for(void** save, const void* stack, size_t size) {
#ifdef __SANITIZE_ADDRESS__
    __sanitizer_start_switch_fiber(save, stack, size);
#else
    (void)save, (void)stack, (void)size;
#endif
}

inline void arrives(void* saved, const void** from, size_t* size) {
#ifdef __SANITIZE_ADDRESS__
    __sanitizer_finish_switch_fiber(saved, from, size);
#else
    (void)saved, (void)from, (void)size;
#endif
}

inline char* stack_of(const Thread& thread) { return stacks + STACK * static_cast<size_t>(&thread - threads); }

// From a fiber back to the scheduler, until that resumes it.
inline void suspend() {
    leaves_for(&current->fake_stack, scheduler_stack, scheduler_stack_size);
    if (_setjmp(current->resume) == 0) _longjmp(scheduler, 1);
    arrives(current->fake_stack, &scheduler_stack, &scheduler_stack_size);
}

inline void resume(Thread& thread) {
    current = &thread;
    threadIdx = thread.index;
    leaves_for(&scheduler_fake_stack, stack_of(thread), STACK);
    if (_setjmp(scheduler) == 0) _longjmp(thread.resume, 1);
    arrives(scheduler_fake_stack, nullptr, nullptr);
}

// A fiber's whole life: a kernel at every turn.
inline void live() {
    arrives(nullptr, &scheduler_stack, &scheduler_stack_size);
    for (;;) {
        current->idle = true;
        suspend();
        current->idle = false;
        kernel(parameters);
        current->state = State::exited;
    }
}

inline void create(Thread& thread) {
    static ucontext_t context;
    current = &thread;
    getcontext(&context);
    context.uc_stack.ss_sp = stack_of(thread);
    context.uc_stack.ss_size = STACK - (&thread - threads) % 8 * 512;  // other cache lines than its neighbours
    context.uc_link = nullptr;
    makecontext(&context, live, 0);
#ifdef __SANITIZE_ADDRESS__
    __asan_unpoison_memory_region(stack_of(thread), STACK);  // frames that an error left behind
#endif
    leaves_for(&scheduler_fake_stack, stack_of(thread), STACK);
    if (_setjmp(scheduler) == 0) setcontext(&context);
    arrives(scheduler_fake_stack, nullptr, nullptr);
}

}  // namespace emulator
