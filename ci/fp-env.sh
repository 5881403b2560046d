#!/usr/bin/env bash
# The tests pass with feature `fp-env`, which saves the floating-point environment on every switch.
#
# Able to fail: a test that panics only under this feature stopped it.
set -euo pipefail
cd "$(dirname "$0")/.."

cargo test -p fibra --features fp-env
cargo test -p fibra-tests --features fibra/fp-env
