#!/usr/bin/env bash
# Instructions and allocator calls per operation of Fibra's hot paths, on one worker.
#
#     count-instructions.sh [N [fibra|fibra-migratable [WORK...]]]     default: 50000 fibra, all works
#
# Runs each loop for N and for 2N operations under callgrind; the difference of the two runs, divided by
# N, is what one operation costs, without start-up. The profiles of the longer runs stay below the target
# directory, for callgrind_annotate.
#
# Standard output has a line for each work and nothing else, so that scripts can read it: the work, the
# instructions of an operation, the calls of the allocator.
#
# Only the worker's thread counts. What the monitor does depends on the time, and so on what else the machine
# does. Callgrind follows the stack pointer, so that its call graph is wrong across switches of stacks; its
# counts are not.
set -euo pipefail
cd "$(dirname "$0")/.."

n=${1:-50000}
affinity=${2:-fibra}
works=("${@:3}")
[[ ${#works[@]} -gt 0 ]] ||
    works=(spawn spawn-join yield park-unpark switch send receive rendezvous select echo)
target=$(realpath -m "${CARGO_TARGET_DIR:-target}")
profiles=$target/callgrind
mkdir -p "$profiles"

command -v valgrind >/dev/null || {
    apt-get update && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends valgrind
} >&2
cargo build --profile bench -p fibra-benches --bin hot_paths

# Instructions of the worker's thread in a whole run: the one that has most of them.
count() {
    local work=$1 operations=$2 profile=$profiles/$1.out options=() log
    # Two halves of one loop: only what happens inside one function of `hot_paths` counts.
    [[ $work != send && $work != receive ]] || options=(--toggle-collect="*${work}_wave*")
    rm -f "$profile"*
    log=$(valgrind --tool=callgrind --separate-threads=yes "${options[@]}" \
        --callgrind-out-file="$profile" "$target/release/hot_paths" "$work" "$operations" "$affinity" 2>&1) || {
        echo "$log" >&2
        return 1
    }
    awk '/^totals:/ && $2 > most { most = $2 } END { print most }' "$profile"-*
}

printf '%-12s %14s   %s\n' "$affinity" "instructions" "allocator calls, without valgrind" >&2
for work in "${works[@]}"; do
    once=$(count "$work" "$n")
    twice=$(count "$work" $((2 * n)))
    calls=$("$target/release/hot_paths" "$work" "$n" "$affinity")
    awk -v work="$work" -v n="$n" -v once="$once" -v twice="$twice" -v calls="${calls##*operations, }" 'BEGIN {
        each = (twice - once) / n
        if (each < 1) {
            print work ": nothing was counted" >"/dev/stderr"
            exit 1
        }
        printf "%-12s %14.1f   %s\n", work, each, calls
    }'
done
echo "profiles: $profiles/*.out-*" >&2
