#!/usr/bin/env bash
# All Rust code is as `cargo fmt` writes it.
#
# Able to fail: a blank line put behind `fn main() {` of an example stopped it.
set -euo pipefail
cd "$(dirname "$0")/.."

cargo fmt --all --check
