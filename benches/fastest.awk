# The contestant, Fibra apart, with the least median in the work `work` of all rounds but the first.
# Input: samples as those of ratios.awk. Needs lists.awk.

$1 == work && $2 !~ /^fibra/ && $4 > 1 { put($2, $6 + 0) }

END {
    for (who in size)
        if (fastest == "" || median(who) < median(fastest))
            fastest = who
    print fastest
}
