#!/usr/bin/env bash
# Whether an operation of Fibra costs the same with more workers, and with more of everything around it.
#
#     scaling.sh [TURNS [WORK...]]     default: 5 turns of all works
#
# In each turn each work runs at each of its sizes, in a process of its own, and says what an operation costs. The sizes
# are numbers of workers, or amounts that grow tenfold. Shown are the median, least and greatest over the turns, and the
# ratio of the median to that of the first size: 1.00 all along is flat. The same goes to SCALING_JSON, a line for
# each point, and to SCALING_SVG, a plot; both are below the target directory by default.
#
# SCALING_MOST, a power of ten, leaves larger amounts out, and makes no more operations than that: to try the script.
#
# A point whose process fails, or takes longer than its limit, is recorded as failing, and the script fails at the end.
# The other points are measured all the same.
set -euo pipefail
cd "$(dirname "$0")/.."

# Seconds that a process may take. There only to end one that hangs.
limit=300
most=${SCALING_MOST:-1000000}
target=$(realpath -m "${CARGO_TARGET_DIR:-target}")
json=${SCALING_JSON:-$target/scaling.json}
svg=${SCALING_SVG:-$target/scaling.svg}

# work, operations, what its sizes count, sizes
works=(
    "spawn 1000000 workers 1 2 4"
    "skynet 1000000 workers 1 2 4"
    "many-to-many 400000 workers 1 2 4"
    "ping-pong 200000 workers 1 2 4"
    "mutex 1000000 workers 1 2 4"
    "parked 1000000 amount 1000 10000 100000 1000000"
    "timers 1000000 amount 1000 10000 100000 1000000"
    "connections 50000 amount 10 100 1000 10000"
    "channel 1000000 amount 10 100 1000 10000 100000 1000000"
)

source benches/works.sh
# As much as all works can share among their goroutines.
[[ $most =~ ^100+$ ]] || {
    echo "SCALING_MOST is to be a power of ten, at least 100" >&2
    exit 2
}

cargo build --profile bench -p fibra-benches --bin scaling

# Room for 10 000 connections. Where it cannot be had, that point fails.
(($(ulimit -n) >= 11000)) || ulimit -n 11000 || true

mkdir -p "$(dirname "$json")" "$(dirname "$svg")"
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
for ((turn = 1; turn <= turns; turn++)); do
    echo "turn $turn of $turns" >&2
    for line in "${table[@]}"; do
        read -r work count unit sizes <<<"$line"
        ((count <= most)) || count=$most
        for size in $sizes; do
            ((size <= most)) || continue
            key="$work $unit $size"
            code=0
            timeout --kill-after=10 $limit "$target/release/scaling" "$work" "$size" "$count" \
                >"$scratch/point" || code=$?
            # A time that is zero or less (a timer is a difference of two) cannot be right.
            if [[ $code -ne 0 ]] || ! grep -Eq '^ns [0-9.]*[1-9]' "$scratch/point"; then
                failed fibra "$work-$size" "$turn" "$code"
                echo "$key failed 1"
                continue
            fi
            echo "$key $(<"$scratch/point")"
        done
    done
done >"$scratch/samples"

awk -f benches/lists.awk -f benches/scaling.awk json="$json" points="$scratch/points" "$scratch/samples"
awk -f benches/scaling-plot.awk "$scratch/points" >"$svg"
printf '\n%s\n%s\n' "$json" "$svg"
conclude
