# Sorted lists of numbers, by name.

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

# Median, least and greatest, for `record`.
function spread(name) { return median(name) " " least(name) " " greatest(name) }

# Appends a line to the file BENCH_RESULTS of the environment, if there is one: `kind`, BENCH_SECTION, and the words
# of `rest`, separated by tabs. report.py reads it.
function record(kind, rest,    line) {
    if (ENVIRON["BENCH_RESULTS"] == "")
        return
    line = kind " " ENVIRON["BENCH_SECTION"] " " rest
    gsub(/ /, "\t", line)
    print line >>ENVIRON["BENCH_RESULTS"]
}
