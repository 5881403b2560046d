#!/usr/bin/env bash
# Instructions per operation of the hot paths, on one worker, against those in ci/instructions.baseline: none may have
# grown by more than 3 %. What fell by more is reported, and no failure. Needs callgrind (Valgrind), which is installed
# where it is missing.
#
#     ci/instructions.sh                compare
#     ci/instructions.sh --update       write the baseline anew; belongs into the commit that changes the counts
#
# The baseline has a line for each work, and its first line names the compiler that built what was counted. Another one
# builds other code: the counts are compared all the same, and the output says so.
#
# The counts are those of the worker's thread only (see benches/count-instructions.sh). In nine runs beside builds, at
# a load of 13 to 16 on two processors, none differed by more than 0.06 %. Counting took 43 seconds there, the build
# apart.
#
# Able to fail: eight turns of an empty loop in `yield_now` stopped it (+5.0 %), so did two in the channel's `send`
# (+9.0 %, `receive` unchanged), a baseline that one count exceeded by 3.1 % (2.9 % passed), one without a line, with a
# line too many, twice the same, no number, no content or no file, and a `send_wave` that callgrind does not find.
set -euo pipefail
cd "$(dirname "$0")/.."

works=(spawn spawn-join yield park-unpark switch send receive rendezvous select)
baseline=ci/instructions.baseline
compiler=$(rustc --version)

[[ $# -eq 0 || $* == --update ]] || {
    echo "usage: ${0##*/} [--update]" >&2
    exit 2
}

counts=$(benches/count-instructions.sh 20000 fibra "${works[@]}" | awk '{ print $1, $2 }')

if [[ $# -eq 1 ]]; then
    {
        echo "# $compiler"
        echo "# Instructions per operation, written by ci/instructions.sh --update."
        echo "$counts"
    } >"$baseline"
    cat "$baseline"
    exit
fi

awk -v compiler="$compiler" '
    function fail(line) {
        failures[++failed] = line
    }

    baseline && FNR == 1 { before = substr($0, 3) }
    baseline && /^#/ || NF == 0 { next }
    baseline && $1 in base { fail($1 ": the baseline has two lines for it") }
    baseline { base[$1] = $2; next }

    FNR == 1 { printf "%-12s %10s %10s %9s\n", "instructions", "baseline", "now", "change" }
    { counted[$1] = 1 }
    !(base[$1] + 0 > 0) {
        printf "%-12s %10s %10.1f\n", $1, "none", $2
        fail($1 ": the baseline has no line for it")
        next
    }
    {
        change = 100 * ($2 / base[$1] - 1)
        printf "%-12s %10.1f %10.1f %+7.1f %%\n", $1, base[$1], $2, change
    }
    change > 3 { fail(sprintf("%s: %.1f %% more instructions", $1, change)) }
    change < -3 { notes[++noted] = sprintf("%s: %.1f %% fewer instructions, update the baseline", $1, -change) }

    END {
        for (work in base) if (!(work in counted)) fail(work ": the baseline has a line for it, but it is not counted")
        if (before != compiler) print "compared with what another compiler built: " before ", now " compiler
        for (i = 1; i <= noted; i++) print notes[i]
        for (i = 1; i <= failed; i++) print "FAILED: " failures[i]
        if (failed) {
            print "If that is meant: ci/instructions.sh --update, in the same commit."
            exit 1
        }
    }
' baseline=1 "$baseline" baseline=0 - <<<"$counts"
