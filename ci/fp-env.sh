#!/usr/bin/env bash
# Feature `fp-env` saves the floating-point environment on every switch: the runtime's own tests, and a
# rounding mode that stays with its goroutine.
#
# Able to fail: a test that panics only under this feature stopped it, and so does a switch that saves but
# does not restore MXCSR.
set -euo pipefail
cd "$(dirname "$0")/.."

cargo test -p fibra --features fp-env --lib
cargo test -p fibra-tests --features fp-env --test fp_env
