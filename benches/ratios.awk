# Medians, spread and ratios of one work. Input: work, contestant, turn, round, nanoseconds.
# Variables: work; peer and goal, the contestant that the goal refers to and the greatest ratio wanted.

# Puts `value` into the list `name`, in order.
function put(name, value,    i) {
    for (i = ++size[name]; i > 1 && list[name, i - 1] > value; i--)
        list[name, i] = list[name, i - 1]
    list[name, i] = value
}

function least(name) { return list[name, 1] }
function greatest(name) { return list[name, size[name]] }
function median(name,    half) {
    half = int((size[name] + 1) / 2)
    return (list[name, half] + list[name, size[name] + 1 - half]) / 2
}

$1 == work {
    if (!($2 in seen)) {
        seen[$2] = 1
        who[++contestants] = $2
    }
    if ($3 > turns)
        turns = $3
    if ($4 == 1) {
        put("first " $2, $5 + 0)
    } else {
        put("all " $2, $5 + 0)
        put("turn " $3 " " $2, $5 + 0)
    }
}

END {
    printf "  %-30s %9s %9s %9s %12s\n", "ns an operation", "median", "least", "greatest", "first round"
    for (i = 1; i <= contestants; i++) {
        name = "all " who[i]
        printf "  %-30s %9.1f %9.1f %9.1f %12.1f\n", who[i], median(name), least(name), \
            greatest(name), median("first " who[i])
    }
    for (i = 1; i <= contestants; i++) {
        if (who[i] !~ /^fibra/)
            continue
        for (j = 1; j <= contestants; j++) {
            if (who[j] ~ /^fibra/)
                continue
            name = who[i] " / " who[j]
            for (turn = 1; turn <= turns; turn++)
                put(name, median("turn " turn " " who[i]) / median("turn " turn " " who[j]))
            printf "  %-30s %9.3f %9.3f %9.3f", name, median(name), least(name), greatest(name)
            if (who[j] == peer)
                printf "   goal %.2f: %s", goal, median(name) <= goal ? "met" : "missed"
            printf "\n"
        }
    }
}
