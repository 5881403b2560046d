#!/usr/bin/env bash
# The tests of coroutines under Valgrind's memcheck, which feature `valgrind` tells about stacks. Installs valgrind
# where it is missing.
#
# Not run: the model (`coroutine_model`), for which Valgrind is too slow. What a test does in a child process runs
# without Valgrind. Leaks are not looked for: what only a suspended coroutine holds would count as one.
#
# Able to fail: a pool that did not register its stacks stopped it, so did raw contexts that did not, frames that
# were copied back to a shared stack without the request before, and a read of freed memory in a coroutine.
set -euo pipefail
cd "$(dirname "$0")/.."

command -v valgrind >/dev/null || {
    apt-get update && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends valgrind
} >&2

export CARGO_TARGET_X86_64_UNKNOWN_LINUX_GNU_RUNNER="valgrind --quiet --error-exitcode=99 --fair-sched=yes"
# Everything takes longer here; what the tests wait for, too.
export FIBRA_TEST_PATIENCE=5

tests=()
for test in coroutine coroutine_{group,locals,raw,scope,shared,stack,values}; do
    tests+=(--test "$test")
done

cargo test -p fibra --features valgrind --lib coroutine
cargo test -p fibra-tests --features fibra/valgrind "${tests[@]}"
