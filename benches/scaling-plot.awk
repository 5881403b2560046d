# Lines of what an operation costs at each size, as SVG, both axes logarithmic: where nothing grows, the line is level.
# Input: work, figure, what the sizes count, size, median, least, greatest. A panel for times by the number of workers,
# one for times by amount, one for bytes by amount. A thin upright line goes from the least to the greatest.

BEGIN {
    split("#1b6ca8 #c8553d #4a8f3c #8a5aa8 #c29a1f #3a9a9a #7a7a7a", colours, " ")
    split("workers amount amount", panel_unit, " ")
    split("ns ns bytes", panel_measure, " ")
    title[1] = "ns an operation, by workers"
    title[2] = "ns an operation, by amount"
    title[3] = "bytes each, by amount"
    panels = 3
    left = 60; top = 40; width = 260; height = 260; between = 80; legend = 150
}

function panel_of(unit, figure,    p) {
    for (p = 1; p <= panels; p++)
        if (panel_unit[p] == unit && panel_measure[p] == (figure == "bytes" ? "bytes" : "ns"))
            return p
    return 0
}

# Only what can be shown on such an axis.
$6 > 0 && (p = panel_of($3, $2)) {
    name = $2 ~ /^(ns|bytes)$/ ? $1 : $1 ", " $2
    if (!((p, name) in line)) {
        line[p, name] = ++lines[p]
        name_of[p, lines[p]] = name
    }
    l = line[p, name]
    i = ++count[p, l]
    x[p, l, i] = $4; y[p, l, i] = $5; low[p, l, i] = $6; high[p, l, i] = $7
    if (!least_x[p] || $4 < least_x[p]) least_x[p] = $4
    if ($4 > most_x[p]) most_x[p] = $4
    if (!least_y[p] || $6 < least_y[p]) least_y[p] = $6
    if ($7 > most_y[p]) most_y[p] = $7
    sizes[p, $4] = 1
}

function x_at(p, value) {
    if (most_x[p] == least_x[p])
        return origin[p] + width / 2
    return origin[p] + width * log(value / least_x[p]) / log(most_x[p] / least_x[p])
}

function y_at(p, value) { return top + height * (1 - log(value / bottom[p]) / log(roof[p] / bottom[p])) }

function text(x, y, anchor, words) {
    printf "<text x=\"%.1f\" y=\"%.1f\" text-anchor=\"%s\">%s</text>\n", x, y, anchor, words
}

function rule(x1, y1, x2, y2, style) {
    printf "<line x1=\"%.1f\" y1=\"%.1f\" x2=\"%.1f\" y2=\"%.1f\" %s/>\n", x1, y1, x2, y2, style
}

function short(n) { return n >= 1e6 ? n / 1e6 "M" : n >= 1e3 ? n / 1e3 "k" : n "" }

# The greatest of 1, 2, 5, 10, 20, … that is not above `value`.
function step_below(value,    decade) {
    decade = 1
    while (decade > value) decade /= 10
    while (decade * 10 <= value) decade *= 10
    return value >= 5 * decade ? 5 * decade : value >= 2 * decade ? 2 * decade : decade
}

function next_step(step,    decade) {
    decade = 1
    while (decade > step * 1.01) decade /= 10
    while (decade * 10 <= step * 1.01) decade *= 10
    return step > 4 * decade ? 10 * decade : step > 1.5 * decade ? 5 * decade : 2 * decade
}

function draw_panel(p,    step, key, part, l, i, colour, path) {
    bottom[p] = step_below(least_y[p])
    for (roof[p] = next_step(bottom[p]); roof[p] < most_y[p]; )
        roof[p] = next_step(roof[p])
    text(origin[p] + width / 2, top - 14, "middle", title[p])
    for (step = bottom[p]; step < roof[p] * 1.01; step = next_step(step)) {
        rule(origin[p], y_at(p, step), origin[p] + width, y_at(p, step), "stroke=\"#ddd\"")
        text(origin[p] - 6, y_at(p, step) + 4, "end", short(step))
    }
    for (key in sizes) {
        split(key, part, SUBSEP)
        if (part[1] == p)
            text(x_at(p, part[2]), top + height + 16, "middle", short(part[2] + 0))
    }
    for (l = 1; l <= lines[p]; l++) {
        colour = colours[(l - 1) % 7 + 1]
        path = ""
        for (i = 1; i <= count[p, l]; i++) {
            rule(x_at(p, x[p, l, i]), y_at(p, low[p, l, i]), x_at(p, x[p, l, i]), y_at(p, high[p, l, i]), \
                "stroke=\"" colour "\" stroke-opacity=\"0.4\"")
            printf "<circle cx=\"%.1f\" cy=\"%.1f\" r=\"2.5\" fill=\"%s\"/>\n", x_at(p, x[p, l, i]), \
                y_at(p, y[p, l, i]), colour
            path = path sprintf(" %.1f,%.1f", x_at(p, x[p, l, i]), y_at(p, y[p, l, i]))
        }
        printf "<polyline points=\"%s\" fill=\"none\" stroke=\"%s\" stroke-width=\"1.5\"/>\n", substr(path, 2), colour
        rule(origin[p], top + height + 24 + 18 * l, origin[p] + 20, top + height + 24 + 18 * l, \
            "stroke=\"" colour "\" stroke-width=\"2\"")
        text(origin[p] + 26, top + height + 28 + 18 * l, "start", name_of[p, l])
    }
}

END {
    # Those without a point are left out.
    shown = 0
    for (p = 1; p <= panels; p++)
        if (lines[p])
            origin[p] = left + shown++ * (width + between)
    if (!shown)
        shown = 1
    total_width = left + shown * (width + between) - between + 30
    total_height = top + height + legend
    printf "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 %d %d\" width=\"%d\" height=\"%d\" ", total_width, \
        total_height, total_width, total_height
    print "font-family=\"sans-serif\" font-size=\"12\">"
    print "<rect width=\"100%\" height=\"100%\" fill=\"white\"/>"
    for (p = 1; p <= panels; p++)
        if (lines[p])
            draw_panel(p)
    print "</svg>"
}
