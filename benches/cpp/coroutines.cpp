// Coroutines of Boost.Context and glibc's ucontext, several rounds of one work: prints a line for each.
//
// `src/bin/coroutines.rs` does the same with Rust libraries, and `coroutines.sh` runs all in turn.
//
//     coroutines boost|fcontext|ucontext switch|create COUNT ROUNDS

#include <boost/context/detail/fcontext.hpp>
#include <boost/context/fiber.hpp>
#include <boost/context/pooled_fixedsize_stack.hpp>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <memory>
#include <ucontext.h>
#include <utility>
#include <vector>

namespace {

namespace context = boost::context;
using Seconds = std::chrono::duration<double>;

constexpr std::size_t stack_bytes = 64 * 1024;

// Passes a value through `step`, `count` times, each time the one that came out. Each time it must grow by one.
template <typename Step>
double pass(std::size_t count, Step step) {
    std::size_t value = 0;
    auto begin = std::chrono::steady_clock::now();
    for (std::size_t i = 0; i < count; i++)
        value = step(value);
    Seconds elapsed = std::chrono::steady_clock::now() - begin;
    if (value != count) {
        std::fprintf(stderr, "a switch was lost\n");
        std::exit(1);
    }
    return elapsed.count();
}

// Boost's own C++ interface. It passes no values: they go through a variable.

double boost_switch(std::size_t count) {
    std::size_t passed = 0;
    context::fiber next([&passed](context::fiber &&there) {
        for (;;) {
            passed++;
            there = std::move(there).resume();
        }
        return std::move(there);
    });
    return pass(count, [&](std::size_t value) {
        passed = value;
        next = std::move(next).resume();
        return passed;
    });
}

double boost_create(std::size_t count) {
    context::pooled_fixedsize_stack pool(stack_bytes);
    std::size_t passed = 0;
    return pass(count, [&](std::size_t value) {
        passed = value;
        context::fiber once(std::allocator_arg, pool, [&passed](context::fiber &&there) {
            passed++;
            return std::move(there);
        });
        std::move(once).resume();
        return passed;
    });
}

// What it is made of.

using context::detail::fcontext_t;
using context::detail::jump_fcontext;
using context::detail::make_fcontext;
using context::detail::transfer_t;

void *plus_one(void *word) {
    return reinterpret_cast<void *>(reinterpret_cast<std::uintptr_t>(word) + 1);
}

void fcontext_endless(transfer_t transfer) {
    for (;;)
        transfer = jump_fcontext(transfer.fctx, plus_one(transfer.data));
}

double fcontext_switch(std::size_t count) {
    std::vector<char> memory(stack_bytes);
    fcontext_t next = make_fcontext(memory.data() + stack_bytes, stack_bytes, fcontext_endless);
    return pass(count, [&](std::size_t value) {
        transfer_t transfer = jump_fcontext(next, reinterpret_cast<void *>(value));
        next = transfer.fctx;
        return reinterpret_cast<std::size_t>(transfer.data);
    });
}

// The function of such a context must not return; the first jump back is its end.
double fcontext_create(std::size_t count) {
    std::vector<char> memory(stack_bytes);
    return pass(count, [&](std::size_t value) {
        fcontext_t once = make_fcontext(memory.data() + stack_bytes, stack_bytes, fcontext_endless);
        return reinterpret_cast<std::size_t>(jump_fcontext(once, reinterpret_cast<void *>(value)).data);
    });
}

// ucontext. Its functions get integers only, so values go through a variable.

ucontext_t resumer, coroutine;
std::size_t passed_by;

void ucontext_endless() {
    for (;;) {
        passed_by++;
        swapcontext(&coroutine, &resumer);
    }
}

void ucontext_once() { passed_by++; }

void make_ucontext(std::vector<char> &memory, void (*function)()) {
    getcontext(&coroutine);
    coroutine.uc_stack.ss_sp = memory.data();
    coroutine.uc_stack.ss_size = memory.size();
    coroutine.uc_link = &resumer;
    makecontext(&coroutine, function, 0);
}

double ucontext_switch(std::size_t count) {
    std::vector<char> memory(stack_bytes);
    make_ucontext(memory, ucontext_endless);
    return pass(count, [](std::size_t value) {
        passed_by = value;
        swapcontext(&resumer, &coroutine);
        return passed_by;
    });
}

double ucontext_create(std::size_t count) {
    std::vector<char> memory(stack_bytes);
    return pass(count, [&](std::size_t value) {
        passed_by = value;
        make_ucontext(memory, ucontext_once);
        swapcontext(&resumer, &coroutine);
        return passed_by;
    });
}

struct Entry {
    const char *contestant, *work;
    double (*run)(std::size_t count);
};

constexpr Entry entries[] = {
    {"boost", "switch", boost_switch},       {"boost", "create", boost_create},
    {"fcontext", "switch", fcontext_switch}, {"fcontext", "create", fcontext_create},
    {"ucontext", "switch", ucontext_switch}, {"ucontext", "create", ucontext_create},
};

} // namespace

int main(int count, char **arguments) {
    if (count == 5) {
        for (const Entry &entry : entries) {
            if (std::strcmp(entry.contestant, arguments[1]) || std::strcmp(entry.work, arguments[2]))
                continue;
            std::size_t operations = std::strtoull(arguments[3], nullptr, 10);
            for (long round = std::strtol(arguments[4], nullptr, 10); round > 0; round--)
                std::printf("ns %.1f\n", entry.run(operations) * 1e9 / operations);
            return 0;
        }
    }
    std::fprintf(stderr, "usage: coroutines boost|fcontext|ucontext switch|create COUNT ROUNDS\n");
    return 2;
}
