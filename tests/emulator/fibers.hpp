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

// Where code that waits goes on. setjmp does more than that, and takes half of all the time of a kernel of barriers.
#ifdef __x86_64__
using Point = void*;  // the top of the stack, where registers that no call changes and the place to return to lie
extern "C" void emulator_switch(Point* here, Point there);
asm(R"(.pushsection .text
.type emulator_switch, @function
emulator_switch:
    pushq %rbp
    pushq %rbx
    pushq %r12
    pushq %r13
    pushq %r14
    pushq %r15
    movq %rsp, (%rdi)
    movq %rsi, %rsp
    popq %r15
    popq %r14
    popq %r13
    popq %r12
    popq %rbx
    popq %rbp
    ret
.size emulator_switch, . - emulator_switch
.popsection)");
inline void change(Point& here, Point& there) { emulator_switch(&here, there); }
#else
using Point = jmp_buf;
inline void change(Point& here, Point& there) {
    if (_setjmp(here) == 0) _longjmp(there, 1);
}
#endif

struct Thread {
    Point resume;
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
static Point scheduler;
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
    change(current->resume, scheduler);
    arrives(current->fake_stack, &scheduler_stack, &scheduler_stack_size);
}

inline void resume(Thread& thread) {
    current = &thread;
    threadIdx = thread.index;
    leaves_for(&scheduler_fake_stack, stack_of(thread), STACK);
    change(scheduler, thread.resume);
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
    char* const stack = stack_of(thread);
    const size_t size = STACK - (&thread - threads) % 8 * 512;  // other cache lines than its neighbours
    current = &thread;
#ifdef __SANITIZE_ADDRESS__
    __asan_unpoison_memory_region(stack, STACK);  // frames that an error left behind
#endif
    leaves_for(&scheduler_fake_stack, stack, STACK);
#ifdef __x86_64__
    // Six registers, the address of the first function, and the place of one that it never returns to.
    auto** const top = reinterpret_cast<void**>(stack + size) - 8;
    memset(top, 0, 8 * sizeof(void*));
    top[6] = reinterpret_cast<void*>(&live);
    Point first = top;
    change(scheduler, first);
#else
    static ucontext_t context;
    getcontext(&context);
    context.uc_stack.ss_sp = stack;
    context.uc_stack.ss_size = size;
    context.uc_link = nullptr;
    makecontext(&context, live, 0);
    if (_setjmp(scheduler) == 0) setcontext(&context);
#endif
    arrives(scheduler_fake_stack, nullptr, nullptr);
}

}  // namespace emulator
