#!/usr/bin/env bash
# A whole program: the example `digest` and `find | xargs sha256sum` in turn, on the same tree of files, which is in
# the page cache. Nanoseconds a file, from the start of the process to its end, and the ratio beside the goal.
#
#     digest.sh [TURNS]     default: 5 turns
#
# The tree is made for the purpose: many small files, some large ones, 16 directories. Both use two workers. What they
# print is compared in every round. The numbers are taken as `against-go.sh` takes them.
#
# A missed goal is no failure. If `digest` fails, takes longer than its limit or prints something wrong, that is one.
set -euo pipefail
cd "$(dirname "$0")/.."

# Seconds that a process may take. There only to end one that hangs.
limit=120
target=$(realpath -m "${CARGO_TARGET_DIR:-target}")

# work, files, rounds, who takes part beside Fibra, whom the goal refers to, the greatest ratio wanted
works=("digest 4000 4 sha256sum sha256sum 1.00")
contestants=(fibra sha256sum)

source benches/works.sh
read -r work files rounds _ <<<"${table[0]}"

cargo build --release -p fibra-examples --example digest

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

# Three files in four have up to 16 KiB, the others up to 64 KiB, and each hundredth has 2 MiB.
grow_tree() {
    local i size
    mkdir -p "$scratch/tree"/{0..15}
    for ((i = 0; i < files; i++)); do
        size=$((i * 7919 % 16384))
        ((i % 4)) || size=$((i * 7919 % 65536))
        ((i % 100)) || size=$((2 << 20))
        head -c $size /dev/urandom >"$scratch/tree/$((i % 16))/$i"
    done
}

# Prints the sums.
run() {
    case $1 in
    fibra) FIBRA_WORKERS=2 timeout --kill-after=10 $limit "$target/release/examples/digest" "$scratch/tree" ;;
    sha256sum)
        find "$scratch/tree" -type f -print0 |
            timeout --kill-after=10 $limit xargs -0 -P2 -n64 sha256sum
        ;;
    esac
}

# Prints what a round took, a file.
round() {
    local start=${EPOCHREALTIME/[.,]/} stop
    run "$1" >"$scratch/sums" || return
    stop=${EPOCHREALTIME/[.,]/}
    sort "$scratch/sums" | cmp - "$scratch/expected" >&2 || return
    awk -v microseconds=$((stop - start)) -v files="$files" 'BEGIN { printf "ns %.1f\n", microseconds * 1000 / files }'
}

grow_tree
find "$scratch/tree" -type f -exec sha256sum {} + | sort >"$scratch/expected"
[[ $(wc -l <"$scratch/expected") -eq $files ]]
printf '%s\n' "${table[@]}" >"$scratch/works"
for ((turn = 1; turn <= turns; turn++)); do
    echo "turn $turn of $turns" >&2
    for ((i = 1; i <= rounds; i++)); do
        for who in "${contestants[@]}"; do
            code=0
            round "$who" >"$scratch/round" || code=$?
            if [[ $code -ne 0 ]]; then
                failed "$who" "$work" "$turn" "$code"
                continue
            fi
            echo "$work $who $turn $i $(<"$scratch/round")"
        done
    done
done >"$scratch/samples"

awk -f benches/lists.awk -f benches/ratios.awk "$scratch/works" "$scratch/samples"
conclude
