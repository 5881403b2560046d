#!/usr/bin/env bash
# No warning from rustc or clippy in any target of the workspace, with and without `fp-env` and `valgrind`.
#
# Able to fail: an unused variable (rustc), a `dbg!` (clippy) and an `unsafe` block without its
# SAFETY note (clippy, denied by the workspace) in an example each stopped it.
set -euo pipefail
cd "$(dirname "$0")/.."

cargo clippy --workspace --all-targets -- -D warnings
cargo clippy --workspace --all-targets --features fibra/fp-env,fibra/valgrind -- -D warnings
