#!/usr/bin/env bash
# The loom models: every interleaving, with at most three preemptions (two in the largest), of the
# protocols that the runtime is built on. They are the unit tests whose names begin with `loom_`.
#
# Able to fail: a model with a lost update (load, then store) stopped it, and so did a runtime that
# has no model at all, because the models that ran are counted.
set -euo pipefail
cd "$(dirname "$0")/.."

log=$(mktemp)
trap 'rm -f "$log"' EXIT

RUSTFLAGS="--cfg loom" LOOM_MAX_PREEMPTIONS=${LOOM_MAX_PREEMPTIONS:-3} \
    cargo test -p fibra --release --lib --target-dir "${CARGO_TARGET_DIR:-target}/loom" loom_ |
    tee "$log"

models=$(awk '/^test result: ok/ { n += $4 } END { print n + 0 }' "$log")
echo "loom: $models models checked"
((models > 0)) || { echo "loom: no model ran" >&2; exit 1; }
