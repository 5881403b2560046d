#!/usr/bin/env bash
# Random programs over channels, selects, time limits, cancels and locks, for a minute: half of it as the
# optimiser leaves it, half with the debug assertions. FIBRA_STRESS_SECONDS sets another time. The seed
# of whatever fails is printed; `stress --seed SEED` runs that program again and again.
#
# Able to fail: each of these mistakes in the runtime stopped it, most of them within a second.
#   channels   a verdict that is not taken back when its claim is lost; the claim before the bytes; a buffered
#              value dropped twice, or never; no refill; newest first; one too many, one too few; a value
#              forgotten by a cancelled send; a value sent after the close; "closed" with a value left; a close
#              that wakes only some; a receive that goes on when it is cancelled
#   selects    an arm that is not tried; a refused value forgotten
#   futures    a value that is dropped, or given back to nobody, when the receive is given up
#   locks      a lost wake in Mutex, RwLock and Condvar; a permit lost, and one too many; a lock kept by a
#              writer that has given up
# Wake-ups are lost only if nothing makes up for them: the supervisor waits 20 seconds for each.
set -euo pipefail
cd "$(dirname "$0")/.."

seconds=${FIBRA_STRESS_SECONDS:-60}
unset FIBRA_STRESS_SEED

for profile in dev release; do
    cargo build -p fibra-tests --bin stress --profile "$profile"
done
for directory in debug release; do
    "${CARGO_TARGET_DIR:-target}/$directory/stress" --seconds $(((seconds + 1) / 2))
done
