# Medians of what servers and their clients measured, and a table of the goals.
# Input: first the goals: work, figure, peer, `most` or `least`, the ratio wanted; then the samples: work,
# contestant, turn, and any number of names with their numbers. Needs lists.awk.

function show_work(work,    i, j, who) {
    printf "\n%-20s", work
    for (j = 1; j <= figures; j++)
        printf " %11s", figure[j]
    print ""
    for (i = 1; i <= contestants[work]; i++) {
        who = contestant[work, i]
        printf "  %-18s", who
        for (j = 1; j <= figures; j++) {
            printf " %11.0f", median(work " " who " " figure[j])
            record("number", work " " who " " figure[j] " " spread(work " " who " " figure[j]))
        }
        print ""
    }
}

# The name of the list of ratios of two contestants, each taken within a turn.
function ratios(work, name, who, peer,    ratio, turn, above, below) {
    ratio = work " " name " " who " / " peer
    for (turn = 1; turn <= turns && !(ratio in taken); turn++) {
        above = sample[work, who, turn, name]
        below = sample[work, peer, turn, name]
        if (above > 0 && below > 0)
            put(ratio, above / below)
    }
    taken[ratio] = 1
    return ratio
}

# Records what Fibra is to each of the others in one work.
function record_ratios(work,    i, j, k, who, peer, ratio) {
    for (i = 1; i <= contestants[work]; i++)
        for (j = 1; j <= contestants[work]; j++)
            for (k = 1; k <= figures; k++) {
                who = contestant[work, i]
                peer = contestant[work, j]
                ratio = ratios(work, figure[k], who, peer)
                if (who ~ /^fibra/ && peer !~ /^fibra/ && size[ratio])
                    record("ratio", work " " who " " peer " " figure[k] " " spread(ratio))
            }
}

function show_goal(work, name, who, peer, bound, wanted,    ratio, outcome) {
    ratio = ratios(work, name, who, peer)
    if (!size[ratio])
        return
    outcome = (bound == "most" ? median(ratio) <= wanted : median(ratio) >= wanted) ? "met" : "missed"
    record("goal", work " " who " " peer " " name " " bound " " wanted " " median(ratio) " " outcome)
    printf "%-11s %-10s %-26s %8.3f %8.3f %9.3f  %-5s %4.2f  %s\n", work, name, who " / " peer, \
        median(ratio), least(ratio), greatest(ratio), bound, wanted, outcome
}

NR == FNR {
    goal[++goals] = $0
    next
}

{
    if (!($1 in contestants))
        order[++works] = $1
    if (!(($1, $2) in known)) {
        known[$1, $2] = 1
        contestant[$1, ++contestants[$1]] = $2
    }
    if ($3 > turns)
        turns = $3
    figures = (NF - 3) / 2
    for (i = 4; i < NF; i += 2) {
        figure[(i - 2) / 2] = $i
        put($1 " " $2 " " $i, $(i + 1) + 0)
        sample[$1, $2, $3, $i] = $(i + 1)
    }
}

END {
    for (w = 1; w <= works; w++) {
        show_work(order[w])
        record_ratios(order[w])
    }
    printf "\n%-11s %-10s %-26s %8s %8s %9s  %s\n", "goals", "figure", "ratio", "median", "least", \
        "greatest", "wanted, at"
    for (g = 1; g <= goals; g++) {
        split(goal[g], part, " ")
        for (i = 1; i <= contestants[part[1]]; i++)
            if (contestant[part[1], i] ~ /^fibra/)
                show_goal(part[1], part[2], contestant[part[1], i], part[3], part[4], part[5])
    }
}
