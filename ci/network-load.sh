#!/usr/bin/env bash
# Sockets under load, in release, for less than a minute: ten thousand connections at once, a hundred thousand one after
# another, and a ticker beside goroutines that compute. Not one byte may be lost or garbled, and nothing may be left:
# no goroutine, descriptor, stack, memory.
#
# Needs 11000 descriptors for a process, and a machine on which nothing else is busy.
#
# Able to fail: each of these mistakes in the runtime stopped it. A socket that is not closed; a source that is not
# given back (memory); a write that says one byte less than it has written (garbled); a change that is not counted
# (calls wait for ever, and run into their deadlines).
set -euo pipefail
cd "$(dirname "$0")/.."

cargo build -p fibra-tests --bin net_load --release

load() {
    echo "net_load $*"
    # Its own limits end it sooner, unless nothing works any more.
    timeout 150 "${CARGO_TARGET_DIR:-target}/release/net_load" "$@"
}

for affinity in "" --migratable; do
    load many 10000 $affinity
    load cycles 100000 $affinity
    load ticker $affinity
done
