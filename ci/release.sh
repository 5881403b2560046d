#!/usr/bin/env bash
# What depends on the optimiser: the size of frames (overflow, a million parked goroutines) and what a
# backtrace sees, in release.
#
# Able to fail: with a limit of 3000 bytes a parked goroutine, the million of `memory` stopped it.
set -euo pipefail
cd "$(dirname "$0")/.."

cargo test -p fibra-tests --release --test overflow --test memory --test backtrace
