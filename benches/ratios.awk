# Medians, spread and ratios of works, and a table of the goals.
# Input: first the works: work, operations a round, rounds, peers, whom the goal refers to, the greatest
# ratio wanted; then the samples: work, contestant, turn, round, and any number of names with nanoseconds
# each, of which `ns` is compared. Needs lists.awk.

# The number of a contestant in a turn.
function in_turn(work, who, figure, turn) { return "turn " turn " " work " " who " " figure }

# Takes the ratios of two numbers, turn by turn.
function compare(ratio, work, who, peer, figure,    turn, above, below) {
    for (turn = 1; turn <= turns; turn++) {
        above = in_turn(work, who, "ns", turn)
        below = in_turn(work, peer, figure, turn)
        if (size[above] && size[below])
            put(ratio, median(above) / median(below))
    }
    return size[ratio]
}

function show_numbers(work,    i, who, j, figure, name) {
    printf "  %-36s %12s %12s %12s %12s\n", "ns an operation", "median", "least", "greatest", "first round"
    for (i = 1; i <= contestants[work]; i++) {
        who = contestant[work, i]
        for (j = 1; j <= figures[work, who]; j++) {
            figure = name_of[work, who, j]
            name = work " " who " " figure
            printf "  %-36s %12.1f %12.1f %12.1f %12.1f\n", (figure == "ns" ? who : who ", " figure), \
                median("all " name), least("all " name), greatest("all " name), median("first " name)
            record("number", name " " spread("all " name))
            record("number", work " " who " first-" figure " " spread("first " name))
        }
    }
}

# Shows a ratio, and keeps it for the table if it is the one that the goal is about.
function show_ratio(work, who, peer, figure,    name, about, outcome) {
    about = figure == "ns" ? peer : figure
    name = work ": " who " / " about
    if (!compare(name, work, who, peer, figure))
        return
    printf "  %-36s %12.3f %12.3f %12.3f\n", who " / " about, median(name), least(name), greatest(name)
    record("ratio", work " " who " " about " ns " spread(name))
    if (about == goal_of[work] && who ~ /^fibra/) {
        outcome = median(name) <= goal[work] ? "met" : "missed"
        record("goal", work " " who " " about " ns most " goal[work] " " median(name) " " outcome)
        summary = summary sprintf("%-14s %-26s %8.3f %8.3f %9.3f %6.2f  %s\n", work, who " / " about, \
            median(name), least(name), greatest(name), goal[work], outcome)
    }
}

function show_ratios(work,    i, j, who, peer) {
    for (i = 1; i <= contestants[work]; i++) {
        who = contestant[work, i]
        show_ratio(work, who, who, goal_of[work])
        for (j = 1; who ~ /^fibra/ && j <= contestants[work]; j++) {
            peer = contestant[work, j]
            if (peer !~ /^fibra/)
                show_ratio(work, who, peer, "ns")
        }
    }
}

NR == FNR {
    order[++works] = $1
    operations[$1] = $2
    goal_of[$1] = $5
    goal[$1] = $6
    next
}

{
    if (!(($1, $2) in figures))
        contestant[$1, ++contestants[$1]] = $2
    if ($3 > turns)
        turns = $3
    figures[$1, $2] = (NF - 4) / 2
    for (i = 5; i < NF; i += 2) {
        name_of[$1, $2, (i - 3) / 2] = $i
        name = $1 " " $2 " " $i
        if ($4 == 1) {
            put("first " name, $(i + 1) + 0)
        } else {
            put("all " name, $(i + 1) + 0)
            put(in_turn($1, $2, $i, $3), $(i + 1) + 0)
        }
    }
}

END {
    for (w = 1; w <= works; w++) {
        printf "\n%s, %d operations a round\n", order[w], operations[order[w]]
        show_numbers(order[w])
        show_ratios(order[w])
    }
    printf "\n%-14s %-26s %8s %8s %9s %6s\n%s", "goals", "ratio", "median", "least", "greatest", "goal", summary
}
