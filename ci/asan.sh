#!/usr/bin/env bash
# The unit and behaviour tests under AddressSanitizer, which feature `asan` tells about each switch
# of stacks. Needs a nightly toolchain.
#
# Not run: doc tests; compiler-message tests (`compile_fail`), in which nothing runs; and what the
# sanitizer itself gets in the way of:
#   `overflow`                   faults on purpose, and the sanitizer wants that signal for itself
#   `locked_memory_falls_back`   the sanitizer turns `mlock` into nothing
#   `kernel_out_of_maps`         without memory maps the sanitizer ends the process
#
# detect_stack_use_after_return=0: with it, locals move to the sanitizer's own heap, and the real
#   goroutine stacks would go unchecked.
# detect_leaks=0: the leak check looks for pointers on thread stacks only, so that whatever only a
#   parked goroutine holds would count as leaked.
#
# Able to fail: a read of freed memory in the runtime's unit tests stopped it, so did one in `tests/`,
# and a read past an array on a goroutine's stack behind a switch; so does a machine without nightly.
set -euo pipefail
cd "$(dirname "$0")/.."

cargo +nightly --version || { echo "asan: needs a nightly toolchain" >&2; exit 1; }

export RUSTFLAGS="-Zsanitizer=address"
export ASAN_OPTIONS="detect_stack_use_after_return=0:detect_leaks=0"
# Everything takes longer here; what the tests wait for, too.
export FIBRA_TEST_PATIENCE=3
# `--target`, so that build scripts and procedural macros are not instrumented.
options=(--target x86_64-unknown-linux-gnu --target-dir "${CARGO_TARGET_DIR:-target}/asan")
skip=()
for name in compile_fail overflow locked_memory_falls_back kernel_out_of_maps; do
    skip+=(--skip "$name")
done

cargo +nightly test "${options[@]}" -p fibra --features asan --lib -- "${skip[@]}"
cargo +nightly test "${options[@]}" -p fibra-tests --features fibra/asan --tests -- "${skip[@]}"
