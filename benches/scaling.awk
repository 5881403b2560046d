# A table of what an operation costs at each size; the same as lines of JSON in the file `json`, and as plain lines,
# for the plot, in `points`: work, figure, what the sizes count, size, median, least, greatest.
# Input: work, what its sizes count, size, then any number of names with their numbers; or `failed 1` in their place.
# Needs lists.awk.

{
    if (!($1 in sizes)) {
        order[++works] = $1
        unit[$1] = $2
    }
    if (!(($1, $3) in known)) {
        known[$1, $3] = 1
        size_of[$1, ++sizes[$1]] = $3
    }
    if ($4 == "failed") {
        failed[$1, $3]++
        next
    }
    for (i = 4; i < NF; i += 2) {
        if (!(($1, $i) in figure_known)) {
            figure_known[$1, $i] = 1
            figure[$1, ++figures[$1]] = $i
        }
        put($1 " " $i " " $3, $(i + 1) + 0)
    }
}

function show_point(work, figure, amount, first,    list, failures, ratio, where) {
    list = work " " figure " " amount
    failures = failed[work, amount] + 0
    where = sprintf("{\"work\":\"%s\",\"figure\":\"%s\",\"%s\":%d,\"failed\":%d", work, figure, unit[work], amount, \
        failures)
    if (!size[list]) {
        printf "  %10d %12s\n", amount, "failed"
        print where "}" >json
        return
    }
    # Without a first point there is nothing to compare with.
    ratio = size[first] ? sprintf("%.3f", median(list) / median(first)) : "null"
    printf "  %10d %12.1f %12.1f %12.1f %9s%s\n", amount, median(list), least(list), greatest(list), ratio, \
        failures ? sprintf("  %d failed", failures) : ""
    printf "%s,\"turns\":%d,\"median\":%.1f,\"least\":%.1f,\"greatest\":%.1f,\"ratio\":%s}\n", where, size[list], \
        median(list), least(list), greatest(list), ratio >json
    print work, figure, unit[work], amount, median(list), least(list), greatest(list) >points
}

END {
    # They are there, even if no point is.
    printf "" >json
    printf "" >points
    for (w = 1; w <= works; w++) {
        work = order[w]
        if (!figures[work])
            figure[work, ++figures[work]] = "ns"
        for (f = 1; f <= figures[work]; f++) {
            printf "\n%s, %s\n  %10s %12s %12s %12s %9s\n", work, figure[work, f], unit[work], "median", "least", \
                "greatest", "ratio"
            for (s = 1; s <= sizes[work]; s++)
                show_point(work, figure[work, f], size_of[work, s], work " " figure[work, f] " " size_of[work, 1])
        }
    }
}
