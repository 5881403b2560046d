#!/usr/bin/env bash
# gdb's `bt` in a goroutine shows the goroutine's frames and ends at its root. Installs gdb where it is
# missing; `cargo test` alone skips the test then.
#
# Able to fail: a context root without its `.cfi_undefined rip` stopped it, and so did a PATH without gdb
# after the installation.
set -euo pipefail
cd "$(dirname "$0")/.."

command -v gdb >/dev/null || { apt-get update && apt-get install -y --no-install-recommends gdb; }

log=$(mktemp)
trap 'rm -f "$log"' EXIT

for profile in dev release; do
    cargo test -p fibra-tests --profile "$profile" --test backtrace -- \
        --exact gdb_shows_the_goroutines_frames --nocapture | tee "$log"
    grep -q '^test result: ok. 1 passed' "$log" || { echo "gdb: the test did not run" >&2; exit 1; }
    ! grep -q skipped "$log" || { echo "gdb: the test was skipped" >&2; exit 1; }
done
