// Who runs next, and what is wrong when nobody can.
//
// A warp goes on as far as it can before the next warp starts ("shuffled" mixes them), because that is the order in
// which a missing barrier shows. Threads that can never meet are an error, which ends the launch with a report.
#pragma once

#include <stdarg.h>
#include <stdio.h>

#include <utility>

#include "fibers.hpp"

namespace emulator {

// ---- Reports

__attribute__((format(printf, 1, 2))) inline void say(const char* format, ...) {
    va_list values;
    va_start(values, format);
    const int wanted = vsnprintf(report, report_left, format, values);
    va_end(values);
    const size_t written = wanted < 0 ? 0 : static_cast<size_t>(wanted) < report_left ? wanted : report_left - 1;
    report += written;
    report_left -= written;
}

inline void fail_in_block(const char* what) {
    failed = true;
    say("block (%u, %u, %u): %s", blockIdx.x, blockIdx.y, blockIdx.z, what);
}

// Stops the launch from inside a thread; does not come back.
inline void fail(const Call& call, const char* what) {
    fail_in_block("");
    say("thread (%u, %u, %u): %s:%d: %s", threadIdx.x, threadIdx.y, threadIdx.z, call.file, call.line, call.name);
    if (call.mask) say(" with mask 0x%08x", call.mask);
    say(": %s", what);
    suspend();
}

// Who waits where, when nobody can go on.
inline void fail_apart() {
    fail_in_block("its threads wait for each other in different places");
    static bool told[MOST_THREADS];
    memset(told, 0, sizeof told);
    for (unsigned i = 0; i < thread_count; ++i) {
        const Thread& first = threads[i];
        if (told[i]) continue;
        const bool exited = first.state == State::exited;
        unsigned alike = 0;
        for (unsigned j = i; j < thread_count; ++j) {
            if (threads[j].state != first.state || !(exited || threads[j].call == first.call)) continue;
            told[j] = true;
            ++alike;
        }
        say("\n  %u %s ", alike, alike == 1 ? "thread" : "threads");
        if (exited) {
            say("exited");
        } else {
            say("at %s:%d: %s", first.call.file, first.call.line, first.call.name);
            if (first.call.mask) say(" with mask 0x%08x", first.call.mask);
        }
        say(", first (%u, %u, %u)", first.index.x, first.index.y, first.index.z);
    }
}

// ---- The scheduler

inline unsigned draw(unsigned below) {
    random_state = random_state * 6364136223846793005ull + 1442695040888963407ull;
    return static_cast<unsigned>((random_state >> 33) % below);
}

// 0 to count - 1 in the order asked for.
template <class T> void shuffle(T* sequence, unsigned count) {
    for (unsigned i = 0; i < count; ++i) sequence[i] = static_cast<T>(order == reverse ? count - 1 - i : i);
    if (order != shuffled) return;
    for (unsigned i = count; i > 1; --i) std::swap(sequence[i - 1], sequence[draw(i)]);
}

// Lets go every group of lanes that has met: all lanes of the mask are in the same call.
inline void release(Thread* lanes, unsigned count) {
    for (unsigned i = 0; i < count; ++i) {
        if (lanes[i].state != State::in_warp) continue;
        const unsigned mask = lanes[i].call.mask & (count == 32 ? ~0u : (1u << count) - 1);
        unsigned votes = 0;
        bool met = true;
        for (unsigned left = mask; left && met; left &= left - 1) {
            const int j = __builtin_ctz(left);
            met = lanes[j].state == State::in_warp && (static_cast<int>(i) == j || lanes[j].call == lanes[i].call);
            votes |= (lanes[j].given != 0) * (1u << j);
        }
        for (unsigned left = mask; left && met; left &= left - 1) {
            Thread& lane = lanes[__builtin_ctz(left)];
            const bool has = mask >> lane.source & 1;
            lane.received = has ? lanes[static_cast<int>(lane.source)].given : POISON * 0x100000001ull;
            lane.votes = votes;
            lane.state = State::ready;
        }
    }
}

// Every lane of a warp that can run, until it waits. False: there was none.
inline bool run_warp(unsigned first) {
    const unsigned count = thread_count - first < 32 ? thread_count - first : 32;
    unsigned char lanes[32];
    bool ran = false;
    release(threads + first, count);
    shuffle(lanes, count);
    for (unsigned i = 0; i < count && !failed; ++i) {
        Thread& thread = threads[first + lanes[i]];
        if (thread.state != State::ready) continue;
        resume(thread);
        ran = true;
    }
    return ran;
}

// All at one barrier: they go on. All at the end: false. Anything else is an error.
inline bool meet() {
    unsigned votes = 0;
    for (unsigned i = 0; i < thread_count; ++i) {
        const Thread &thread = threads[i], &first = threads[0];
        const bool waits = thread.state == State::at_barrier;
        if (thread.state != first.state || thread.state == State::in_warp || (waits && !(thread.call == first.call))) {
            fail_apart();
            return false;
        }
        votes += thread.given != 0;
    }
    if (threads[0].state == State::exited) return false;
    for (unsigned i = 0; i < thread_count; ++i) {
        threads[i].state = State::ready;
        threads[i].votes = votes;
    }
    return true;
}

inline void run_block() {
    const unsigned count = (thread_count + 31) / 32;
    unsigned char warps[MOST_THREADS / 32];
    for (unsigned i = 0; i < thread_count; ++i) threads[i].state = State::ready;
    do {
        for (bool ran = true; ran && !failed;) {
            ran = false;
            shuffle(warps, count);
            for (unsigned i = 0; i < count; ++i) {
                while (!failed && run_warp(warps[i] * 32)) {
                    ran = true;
                    if (order == shuffled && draw(2)) break;
                }
            }
        }
    } while (!failed && meet());
}

}  // namespace emulator
