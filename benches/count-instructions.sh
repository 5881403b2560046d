#!/usr/bin/env bash
# Instructions and allocator calls per operation of Fibra's hot paths, on one worker.
#
#     count-instructions.sh [N [fibra|fibra-migratable]]     default: 50000 fibra
#
# Runs each loop for N and for 2N operations under callgrind; the difference of the two whole runs,
# divided by N, is what one operation costs, without start-up. The profiles of the longer runs stay
# below the target directory, for callgrind_annotate.
#
# Callgrind follows the stack pointer, so that its call graph is wrong across switches of stacks; its
# counts are not. It runs one thread at a time, so what idle threads do in between adds some noise.
set -euo pipefail
cd "$(dirname "$0")/.."

n=${1:-50000}
affinity=${2:-fibra}
target=$(realpath -m "${CARGO_TARGET_DIR:-target}")
profiles=$target/callgrind
mkdir -p "$profiles"

command -v valgrind >/dev/null || { apt-get update && apt-get install -y valgrind; } >&2
cargo build --profile bench -p fibra-benches --bin hot_paths

# Instructions of a whole run.
count() {
    local work=$1 operations=$2 log
    log=$(valgrind --tool=callgrind --callgrind-out-file="$profiles/$work.out" \
        "$target/release/hot_paths" "$work" "$operations" "$affinity" 2>&1) || {
        echo "$log" >&2
        return 1
    }
    awk '/Collected :/ { print $NF }' <<<"$log"
}

printf '%-12s %14s   %s\n' "$affinity" "instructions" "allocator calls, without valgrind"
for work in spawn spawn-join yield park-unpark switch echo; do
    once=$(count $work "$n")
    twice=$(count $work $((2 * n)))
    calls=$("$target/release/hot_paths" $work "$n" "$affinity")
    awk -v work=$work -v n="$n" -v once="$once" -v twice="$twice" -v calls="${calls##*operations, }" \
        'BEGIN { printf "%-12s %14.1f   %s\n", work, (twice - once) / n, calls }'
done
echo "profiles: $profiles/*.out"
