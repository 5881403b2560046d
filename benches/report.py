#!/usr/bin/env python3
"""What `compare` leaves behind: results.json, chart.svg, and the figures in the README.

    report.py LINES DIR             writes the first two below DIR, and prints the goals and the failures
    report.py LINES DIR README      also writes the figures into README, in the place of those before

LINES is the file that BENCH_RESULTS named for the scripts, and that `compare` began. Words are separated by tabs;
SECTION is the script; FIELDS says what lines there are. `report_tests.py` has the tests.
"""

import json
import math
import sys
from collections import defaultdict
from pathlib import Path
from xml.sax.saxutils import escape

FIELDS = {
    "run": "name value",
    "machine": "name value",
    "version": "name value",
    "number": "section work contestant figure median least greatest",
    "ratio": "section work contestant peer figure median least greatest",
    "goal": "section work contestant peer figure bound wanted median outcome",
    "failure": "section work contestant turn exit_code",
    "failed-script": "section",
}
NUMBERS = {"median", "least", "greatest", "wanted", "turn", "exit_code"}


def parse(text):
    """The lines by their kind, each a dictionary."""
    lines = {kind: [] for kind in FIELDS}
    for line in text.splitlines():
        kind, *words = line.split("\t")
        fields = FIELDS.get(kind, "").split()
        if not fields or len(words) != len(fields):
            raise ValueError(f"not understood: {line!r}")
        entry = {field: number(word) if field in NUMBERS else word for field, word in zip(fields, words)}
        lines[kind].append(entry)
    return lines


def number(word):
    value = float(word)
    return int(value) if value.is_integer() else value


def to_json(lines):
    """All of it, the works by section and name."""
    named = {kind: {entry["name"]: entry["value"] for entry in lines[kind]} for kind in ("run", "machine", "version")}
    works = {}
    for kind in ("number", "ratio", "goal", "failure"):
        for entry in lines[kind]:
            rest = {field: value for field, value in entry.items() if field not in ("section", "work")}
            works.setdefault((entry["section"], entry["work"]), defaultdict(list))[kind + "s"].append(rest)
    whole = {
        "run": named["run"],
        "machine": named["machine"],
        "versions": named["version"],
        "failed_scripts": [entry["section"] for entry in lines["failed-script"]],
        "works": [{"section": section, "work": work, **kinds} for (section, work), kinds in works.items()],
    }
    return json.dumps(whole, indent=1, allow_nan=False) + "\n"


# The rows of the chart: section, work, the figure that is compared, and what it is called.
ROWS = [
    ("coroutines", "switch", "ns", "resume + suspend"),
    ("coroutines", "create", "ns", "create, run, drop a coroutine"),
    ("against-go", "spawn", "ns", "spawn a million, wait for all"),
    ("against-go", "spawn-join", "ns", "spawn + join, one at a time"),
    ("against-go", "yield", "ns", "yield among 100"),
    ("against-go", "ping-pong", "ns", "rendezvous, there and back"),
    ("against-go", "many-to-many", "ns", "channel, 4 senders, 4 receivers"),
    ("against-go", "select", "ns", "select of two"),
    ("against-go", "mutex", "ns", "mutex among 100"),
    ("against-go", "skynet", "ns", "skynet, a million leaves"),
    ("against-go", "fork-join", "ns", "fork and join, fib(35)"),
    ("against-go", "sleepers", "ns", "100 000 sleepers, lateness"),
    ("against-go", "pool", "ns", "pool, 50 µs a job"),
    ("http", "hello-64", "user-ns", "HTTP, 64 conns, user CPU"),
    ("http", "hello-1000", "user-ns", "HTTP, 1000 conns, user CPU"),
    ("http", "echo", "cpu-ns", "TCP echo, CPU"),
    ("http", "cycle", "cpu-ns", "accept, echo, close: CPU"),
    ("footprint", "parked", "bytes", "memory of a parked goroutine"),
    ("digest", "digest", "ns", "SHA-256 of a tree"),
]

# The columns of the table; further peers stand in its last one.
COLUMNS = ["fibra", "go", "tokio", "may"]
# Where the table stands in the README.
BEGIN, END = "<!-- figures, written by benches/compare --publish -->", "<!-- end of the figures -->"

# Peers with a colour of their own. generator is what may switches with.
COLOURS = {"go": "#2f8fd8", "tokio": "#d9660f", "may": "#12996f", "generator": "#12996f"}
# Those who take part in few works: they have their name beside them. Whoever is in neither is in the JSON only.
NAMED = ["corosensei", "boost", "rayon", "ideal", "epoll", "sha256sum"]
OTHERS = "#a06cc4"

WIDTH, TOP, ROW, BOTTOM = 800, 84, 24, 34
# Where the plot begins and ends. Right of it stand the failures.
LEFT, RIGHT = 236, 690

TITLE = "Fibra's time, CPU time or memory relative to each peer's"

STYLE = """
text { font: 12px system-ui, sans-serif; fill: #1f2328 }
.title { font-size: 16px; font-weight: 600 }
.faint { font-size: 11px; fill: #59636e }
.grid { stroke: #8b949e; stroke-opacity: .3 }
.one { stroke: #59636e; stroke-width: 1.5 }
@media (prefers-color-scheme: dark) {
  text { fill: #e6edf3 }
  .faint { fill: #9198a1 }
  .one { stroke: #9198a1 }
}
"""


class Scale:
    """A logarithmic scale with marks at 1, 2 and 5 times powers of ten, the outermost around all `values`."""

    def __init__(self, values, left, right):
        steps = [float(f"{digit}e{power}") for power in range(-9, 9) for digit in (1, 2, 5)]
        # One is always seen from both sides.
        low, high = min([*values, 0.5]), max([*values, 2])
        first = max(i for i, step in enumerate(steps) if step <= low)
        last = min(i for i, step in enumerate(steps) if step >= high)
        self.marks = steps[first : last + 1]
        self.left, self.right = left, right

    def labelled(self, mark):
        """Whether there is room for the number of a mark: on long scales only powers of ten have theirs."""
        return len(self.marks) <= 10 or f"{mark:e}".startswith("1.0")

    def x(self, value):
        low, high = math.log(self.marks[0]), math.log(self.marks[-1])
        return round(self.left + (math.log(value) - low) / (high - low) * (self.right - self.left), 1)


def colour(peer):
    return COLOURS.get(peer, OTHERS)


def shown(entry):
    return entry["contestant"] == "fibra" and (entry["peer"] in COLOURS or entry["peer"] in NAMED)


def rows(lines):
    """The rows for which there is something to see: label, ratios, goals, and who fails."""
    for section, work, figure, label in ROWS:
        here = lambda entry: (entry["section"], entry["work"]) == (section, work)
        of_figure = lambda entry: here(entry) and entry["figure"] == figure and shown(entry)
        ratios = sorted(filter(of_figure, lines["ratio"]), key=lambda ratio: ratio["median"])
        goals = [goal for goal in lines["goal"] if of_figure(goal) and goal["bound"] == "most"]
        compared = {ratio["peer"] for ratio in ratios}
        failed = {entry["contestant"] for entry in filter(here, lines["failure"])}
        # Who failed once, but has numbers from other turns, is in the JSON.
        failed = sorted(who for who in failed - compared if who in [*COLOURS, *NAMED, "fibra"])
        if ratios or failed:
            yield label, ratios, goals, failed


def chart(lines):
    """The SVG: a row for each work, a mark for each peer, left of 1 where Fibra takes less."""
    table = list(rows(lines))
    spans = [value for _, ratios, _, _ in table for ratio in ratios for value in (ratio["least"], ratio["greatest"])]
    scale = Scale(spans + [goal["wanted"] for _, _, goals, _ in table for goal in goals], LEFT, RIGHT)
    bottom = TOP + ROW * len(table)
    run = {entry["name"]: entry["value"] for kind in ("run", "machine") for entry in lines[kind]}

    out = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{bottom + BOTTOM}" '
        f'viewBox="0 0 {WIDTH} {bottom + BOTTOM}" role="img">',
        f"<title>{TITLE}</title><style>{STYLE}</style>",
        text(8, 22, TITLE, "title"),
        text(8, 40, subtitle(run), "faint"),
        *legend(8, 62),
    ]
    for mark in scale.marks:
        kind = "one" if mark == 1 else "grid"
        out.append(line(scale.x(mark), TOP, scale.x(mark), bottom, f'class="{kind}"'))
        if scale.labelled(mark):
            out.append(text(scale.x(mark), bottom + 16, f"{mark:g}", "faint", "middle"))
    out.append(text(scale.x(1) - 8, bottom + 30, "← Fibra is faster", "faint", "end"))
    for i, (label, ratios, goals, failed) in enumerate(table):
        y = TOP + ROW * i + ROW / 2
        out.append(text(LEFT - 12, y + 4, label, anchor="end"))
        out.append(line(LEFT, y, RIGHT, y, 'class="grid"'))
        out += [goal_mark(scale, y, goal) for goal in goals]
        named = [ratio for ratio in ratios if ratio["peer"] in NAMED]
        for ratio in ratios:
            out.append(ratio_mark(scale, y, ratio))
        for ratio in named:
            # Of two, the left one has its name on the left.
            before = len(named) > 1 and ratio is named[0]
            x = scale.x(ratio["median"]) + (-8 if before else 8)
            out.append(text(x, y - 2, ratio["peer"], "faint", "end" if before else "start"))
        if failed:
            out.append(text(RIGHT + 8, y + 4, ", ".join(failed) + (" fails" if len(failed) == 1 else " fail"), "faint"))
    return "\n".join([*out, "</svg>"]) + "\n"


def subtitle(run):
    words = ["log scale, median and spread, turns: {turns}".format(**{"turns": "?", **run})]
    words += [run[name] for name in ("cpu", "date") if name in run]
    if run.get("quick") == "yes":
        words.insert(0, "TINY COUNTS, MEANS NOTHING")
    return " · ".join(words)


def legend(x, y):
    for name, peer in (("Go", "go"), ("tokio", "tokio"), ("may", "may"), ("others, named", None)):
        yield dot(x + 5, y, peer)
        yield text(x + 15, y + 4, name)
        x += 28 + 7 * len(name)
    yield line(x + 5, y - 7, x + 5, y + 7, f'stroke="{OTHERS}" stroke-width="2"')
    yield text(x + 12, y + 4, "goal, in the colour of the peer that it is about")


def ratio_mark(scale, y, ratio):
    peer = ratio["peer"]
    hint = f'{peer}: {ratio["median"]:.3g} ({ratio["least"]:.3g} to {ratio["greatest"]:.3g})'
    spread = line(
        scale.x(ratio["least"]), y, scale.x(ratio["greatest"]), y,
        f'stroke="{colour(peer)}" stroke-width="3" stroke-opacity=".45"',
    )
    return f'<g><title>{escape(hint)}</title>{spread}{dot(scale.x(ratio["median"]), y, peer)}</g>'


def goal_mark(scale, y, goal):
    x = scale.x(goal["wanted"])
    hint = f'goal: at most {goal["wanted"]:g} × {goal["peer"]}, {goal["outcome"]}'
    mark = line(x, y - 8, x, y + 8, f'stroke="{colour(goal["peer"])}" stroke-width="2"')
    return f"<g><title>{escape(hint)}</title>{mark}</g>"


def dot(x, y, peer):
    """A circle, or for those who have their name beside them a diamond."""
    if peer in COLOURS:
        return f'<circle cx="{x}" cy="{y}" r="5" fill="{colour(peer)}"/>'
    return f'<path d="M{x - 6} {y}l6 -6l6 6l-6 6z" fill="{OTHERS}"/>'


def line(x1, y1, x2, y2, rest):
    return f'<line x1="{x1}" y1="{y1}" x2="{x2}" y2="{y2}" {rest}/>'


def text(x, y, words, kind="", anchor="start"):
    return f'<text x="{x}" y="{y}" class="{kind}" text-anchor="{anchor}">{escape(words)}</text>'


def figures(lines):
    """What the README says: where this was measured, and a table of medians."""
    run, machine, version = (
        {entry["name"]: entry["value"] for entry in lines[kind]} for kind in ("run", "machine", "version")
    )
    where = [machine[name] for name in ("cpu", "memory", "kernel") if name in machine]
    if "cores" in machine:
        where.insert(1, f"{machine['cores']} cores")
    # Some say themselves whose version it is.
    versions = ", ".join(value if value.startswith(name) else f"{name} {value}" for name, value in version.items())
    out = [
        f"`benches/compare` on {run.get('date', '?')}, commit {run.get('commit', '?')}, medians of {run.get('turns', '?')} "
        "turns, two workers each.",
        f"{', '.join(where)}. {versions}.",
        "",
        "| | Fibra | Go | tokio | may | others |",
        "|---|---|---|---|---|---|",
    ]
    for section, work, figure, label in ROWS:
        here = lambda entry: (entry["section"], entry["work"]) == (section, work)
        medians = {
            entry["contestant"]: entry["median"] for entry in filter(here, lines["number"]) if entry["figure"] == figure
        }
        failed = {entry["contestant"] for entry in filter(here, lines["failure"])} - set(medians)
        cell = lambda who: quantity(medians[who], figure) if who in medians else "fails" if who in failed else ""
        others = [f"{who} {cell(who)}" for who in [*NAMED, "generator"] if cell(who)]
        if medians:
            out.append("| " + " | ".join([label, *map(cell, COLUMNS), ", ".join(others)]) + " |")
    return "\n".join(out) + "\n"


def quantity(value, figure):
    if figure == "bytes":
        return f"{value:.0f} bytes"
    for unit, size in (("ns", 1), ("µs", 1e3), ("ms", 1e6), ("s", 1e9)):
        # Three digits, of which none stands before the point in vain.
        if value < 999.5 * size:
            break
    digits = f"{value / size:.3g}"
    return f"{digits} {unit}"


def with_figures(readme, table):
    """The README with the table in its place."""
    before, begin, rest = readme.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not (begin and end):
        raise ValueError("the README has no place for the figures")
    return f"{before}{begin}\n{table}{end}{after}"


def summary(lines):
    """The goals and what went wrong, for the terminal."""
    out = ["", "all goals"]
    for goal in lines["goal"]:
        out.append(
            "{section:<11} {work:<13} {contestant:>17} / {peer:<11} {figure:<8} {median:8.3f}  {bound:<5} {wanted:<5} "
            "{outcome}".format(**goal)
        )
    turns = defaultdict(list)
    for failure in lines["failure"]:
        turns[failure["contestant"], failure["section"], failure["work"]].append(failure)
    for (who, section, work), failures in turns.items():
        codes = " ".join(sorted({str(failure["exit_code"]) for failure in failures}))
        out.append(f"FAILED: {who} {section} {work}, turns: {len(failures)}, exit codes: {codes} (124: over its limit)")
    out += [f"FAILED: script {entry['section']}" for entry in lines["failed-script"]]
    return "\n".join(out)


def main(arguments):
    if len(arguments) not in (2, 3):
        sys.exit("usage: report.py LINES DIR [README]")
    lines = parse(Path(arguments[0]).read_text())
    directory = Path(arguments[1])
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "results.json").write_text(to_json(lines))
    (directory / "chart.svg").write_text(chart(lines))
    for readme in map(Path, arguments[2:]):
        readme.write_text(with_figures(readme.read_text(), figures(lines)))
    print(summary(lines))


if __name__ == "__main__":
    main(sys.argv[1:])
