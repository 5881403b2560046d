# Sourced by the scripts that take `[TURNS [WORK...]]`, once they have set `works`, an array of
# lines that begin with the name of a work. Sets `turns`, and `table`, the lines that were asked for; ends the script
# with its usage when that makes no sense.
#
# From the environment, for `compare` and for tests:
# * BENCH_DIVISOR: a second field that is a number, operations a round, is divided by it; to see that all works.
# * BENCH_RESULTS: a file; numbers, ratios, goals and failures are appended to it. report.py says how.

usage() {
    echo "usage: ${0##*/} [TURNS [WORK...]]" >&2
    printf 'WORK: %s\n' "$(printf '%s ' "${works[@]%% *}")" >&2
    exit 2
}

turns=${1:-5}
[[ $turns =~ ^[1-9][0-9]*$ && ${BENCH_DIVISOR:=1} =~ ^[1-9][0-9]*$ ]] || usage
table=()
for work in "${@:2}"; do
    for line in "${works[@]}"; do
        [[ ${line%% *} == "$work" ]] && table+=("$line") && continue 2
    done
    usage
done
[[ ${#table[@]} -gt 0 ]] || table=("${works[@]}")

for i in "${!table[@]}"; do
    read -r work count rest <<<"${table[i]}"
    [[ $count =~ ^[0-9]+$ ]] || continue
    count=$((count / BENCH_DIVISOR))
    table[i]="$work $((count > 0 ? count : 1)) $rest"
done

# Where a line in BENCH_RESULTS comes from; lists.awk needs it too.
BENCH_SECTION=$(basename "$0" .sh)
export BENCH_SECTION

# How many processes of Fibra have failed.
failures=0
# Who hung in which work.
declare -A hung

# A process has failed. If it was over its limit, nobody waits for it again.
failed() {
    local who=$1 work=$2 turn=$3 code=$4
    [[ $code -ne 124 && $code -ne 137 ]] || hung["$who $work"]=1
    echo "FAILED: $who $work, turn $turn, exit code $code (124: over its limit)" >&2
    [[ -z ${BENCH_RESULTS:-} ]] ||
        printf 'failure\t%s\t%s\t%s\t%s\t%s\n' "$BENCH_SECTION" "$work" "$who" "$turn" "$code" >>"$BENCH_RESULTS"
    [[ $who != fibra* ]] || failures=$((failures + 1))
}

# Whether a contestant has a turn in a work.
has_turn() {
    [[ -z ${hung["$1 $2"]:-} ]]
}

# Lines of what a process has to say that are shown: each of the thousands of coroutines that have no room says so.
most_said=20

# One turn of a contestant in a work of some rounds, in a process that the script's `run` starts. Prints a line for each
# round; needs `scratch`, a directory.
sample() {
    local who=$1 work=$2 turn=$3 count=$4 rounds=$5 code=0
    has_turn "$who" "$work" || return 0
    run "$who" "$work" "$count" "$rounds" >"$scratch/rounds" 2>"$scratch/said" || code=$?
    awk -v most=$most_said 'NR <= most; END { if (NR > most) print "… and " NR - most " lines more" }' "$scratch/said" >&2
    if [[ $code -ne 0 || $(wc -l <"$scratch/rounds") -ne $rounds ]]; then
        failed "$who" "$work" "$turn" "$code"
        return 0
    fi
    awk -v key="$work $who $turn" '{ print key, NR, $0 }' "$scratch/rounds"
}

# Ends the script with a failure if a process of Fibra has failed. That of a peer is its own affair: may, for one,
# has no room for a million coroutines.
conclude() {
    [[ $failures -eq 0 ]] || {
        echo "$failures processes of Fibra failed" >&2
        exit 1
    }
}
