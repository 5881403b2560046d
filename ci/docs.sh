#!/usr/bin/env bash
# The documentation builds without a warning: no broken link, no bad markup.
#
# Able to fail: a link to an item that does not exist, in a doc comment of the runtime, stopped it.
set -euo pipefail
cd "$(dirname "$0")/.."

RUSTDOCFLAGS="-D warnings" cargo doc --no-deps --workspace
