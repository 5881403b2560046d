#!/usr/bin/env bash
# Coroutines of Fibra and of others in turn, one thread each: nanoseconds an operation, and the ratios to the fastest
# of the others.
#
#     coroutines.sh [TURNS [WORK...]]     default: 5 turns of both works
#
# In each turn every contestant does each work in a process of its own, for some rounds; the numbers are taken as
# `against-go.sh` takes them. A missed goal is no failure; a process of Fibra that fails, or that takes longer than its
# limit, is one. That of a peer is only reported.
#
# Needs a C++ compiler, and Boost.Context, which is installed where it is missing.
set -euo pipefail
cd "$(dirname "$0")/.."

# Seconds that a process may take. There only to end one that hangs.
limit=120
target=$(realpath -m "${CARGO_TARGET_DIR:-target}")

# work, operations a round, rounds
works=(
    "switch 2000000 8"
    "create 1000000 8"
)
contestants=(fibra fibra-raw fibra-shared corosensei generator boost fcontext ucontext)
# The greatest ratio wanted.
goal=1.00

source benches/works.sh
source benches/peers.sh

[[ -e /usr/include/boost/context/fiber.hpp ]] || {
    for_peer apt-get update
    for_peer env DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends libboost-context-dev
} >&2
cargo build --profile bench -p fibra-benches --bin coroutines
for_peer c++ -std=c++17 -O2 -Wall -Wextra -o "$target/coroutines-cpp" benches/cpp/coroutines.cpp -lboost_context

run() {
    local program=$target/release/coroutines
    case $1 in
    boost | fcontext | ucontext) program=$target/coroutines-cpp ;;
    esac
    timeout --kill-after=10 $limit "$program" "$@"
}

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
for ((turn = 1; turn <= turns; turn++)); do
    echo "turn $turn of $turns" >&2
    for line in "${table[@]}"; do
        read -r work count rounds <<<"$line"
        for who in "${contestants[@]}"; do
            sample "$who" "$work" "$turn" "$count" "$rounds"
        done
    done
done >"$scratch/samples"

# The goal refers to whoever is the fastest of the others, by the median of all rounds but the first.
for line in "${table[@]}"; do
    read -r work count rounds <<<"$line"
    fastest=$(awk -f benches/lists.awk -f benches/fastest.awk work="$work" "$scratch/samples")
    echo "$work $count $rounds - $fastest $goal"
done >"$scratch/works"

awk -f benches/lists.awk -f benches/ratios.awk "$scratch/works" "$scratch/samples"
conclude
