#!/usr/bin/env python3
"""The layer check: a module imports only from layers below its own, or from its own folder.

Reads every path in runtime/src that starts at the crate root (`crate::x`, `use crate::{x, y}`,
`super::super::x`, `fibra::x`), and finds the module that it names in LAYERS. Not checked: test code
(`tests.rs`, `#[cfg(test)]`), comments, strings, and macros called by path (`crate::x!`), because
what they expand to is checked where they are defined.

    layers.py               check runtime/src
    layers.py --self-test   plant violations in a made-up crate and see that each one is found
"""

import re
import sys
import tempfile
from pathlib import Path

# The layers, from the bottom up. Every module of the crate stands here once. The modules of the
# last row are the surface: they may read everything, one another too.
LAYERS = [
    "primitive util",
    "arch stack coroutine",
    "goroutine ticket timer poll events",
    "sched",
    "park",
    "waitq",
    "chan select sync time io scope join future context err_group local blocking",
    "net fs process signal hook",
    "lib builder runtime diag",
]

# Imports between two modules of one layer: who may read whom. Nothing may come back the other way.
BESIDE = {
    "stack": "arch",
    "coroutine": "arch stack",
    "goroutine": "ticket",
    "timer": "ticket",
    "poll": "ticket",
    "join": "chan",
    "scope": "chan join",
    "future": "join",
    "sync": "chan join",
    "time": "chan join",
    "context": "chan",
    "err_group": "chan context sync",
}

LAYER = {module: n for n, row in enumerate(LAYERS) for module in row.split()}

TOKEN = re.compile(
    r"""(?P<skip> //[^\n]* | /\* | [bc]?r(?P<hashes>\#*)".*?"(?P=hashes) | [bc]?"(?:\\.|[^"\\])*"
              | b?'(?:\\.[^']*|[^'\\])' )
      | (?P<token> \$?\w+ | :: | \#!?\[ | [^\s] )""",
    re.VERBOSE | re.DOTALL,
)


def tokens(text):
    """(line, token) of `text` without comments and literals."""
    at, line, found = 0, 1, []
    while match := TOKEN.search(text, at):
        line += text.count("\n", at, match.start())
        end = match.end()
        if match["skip"] == "/*":  # Block comments nest.
            depth = 1
            while depth and (edge := re.compile(r"/\*|\*/").search(text, end)):
                depth += 1 if edge[0] == "/*" else -1
                end = edge.end()
        elif match["token"]:
            found.append((line, match["token"]))
        line += text.count("\n", match.start(), end)
        at = end
    return found


def closing(toks, i):
    """The index of the bracket that closes the one at `i`."""
    depth = 0
    for j in range(i, len(toks)):
        depth += toks[j][1] in ("(", "[", "{", "#[", "#![")
        depth -= toks[j][1] in (")", "]", "}")
        if depth == 0:
            return j
    return len(toks) - 1


def for_tests(attribute):
    """Whether an attribute's tokens say `cfg(test)` or `cfg(all(…, test, …))`."""
    words = "".join(attribute)
    if "any(" in words:
        return False
    return bool(re.match(r"cfg\((test|all\((.*,)?test(,.*)?\))\)$", words))


def item_end(toks, i):
    """The index behind the item that starts at `i`: its body, its semicolon, or what it stands in."""
    while i < len(toks) and toks[i][1] not in ("{", "}", ";"):
        i = closing(toks, i) + 1 if toks[i][1] in ("(", "[", "#[") else i + 1
    if i == len(toks) or toks[i][1] == "}":
        return i
    return closing(toks, i) + 1


def heads(toks, i):
    """The first names that follow a `::` at `i`: one, or each of a group."""
    if toks[i + 1][1] != "{":
        return [i + 1]
    end, found, j = closing(toks, i + 1), [], i + 2
    while j < end:
        found.append(j)
        while j < end and toks[j][1] != ",":
            j = closing(toks, j) + 1 if toks[j][1] == "{" else j + 1
        j += 1
    return found


def imports(text, module):
    """(line, top-level module) for each path to the crate root in a file whose own path is `module`.

    Also the names of the modules that the file declares for tests only.
    """
    toks = tokens(text)
    found, test_modules = [], set()
    inline = []  # The closing indices of the inline modules that stand open.
    i = 0
    while i < len(toks):
        line, token = toks[i]
        inline = [end for end in inline if end > i]
        if token in ("#[", "#!["):
            end = closing(toks, i)
            if for_tests([t for _, t in toks[i + 1 : end]]):
                if token == "#![":
                    return [], set()
                end = item_end(toks, end + 1) - 1
                names = [t for _, t in toks[i : end + 1]]
                if "mod" in names and names[-1] == ";":
                    test_modules.add(names[names.index("mod") + 1])
            i = end + 1
            continue
        if token == "mod" and toks[i + 2][1] == "{":
            inline.append(closing(toks, i + 2))
            i += 3
            continue
        if i + 1 < len(toks) and toks[i + 1][1] == "::":
            up = None
            if token == "crate" or token == "fibra":
                up = len(module) + len(inline)
            elif token in ("self", "super"):
                up = 0
                while toks[i][1] in ("self", "super") and toks[i + 1][1] == "::":
                    up += toks[i][1] == "super"
                    i += 2
                i -= 2
            if up is not None and up >= len(module) + len(inline):
                # `crate::x!` is a macro. The walk goes on behind the `::`: generics hold paths too.
                found += [toks[j] for j in heads(toks, i + 1) if toks[j + 1][1] != "!"]
        i += 1
    return found, test_modules


def module_path(file, src):
    """The module that a file holds: `sched/idle.rs` -> ["sched", "idle"]; [] for lib.rs."""
    parts = list(file.relative_to(src).with_suffix("").parts)
    if parts[-1] in ("mod", "lib"):
        parts.pop()
    return parts


def check(src):
    """The violations in a crate's source, one line of text each."""
    files = {file: module_path(file, src) for file in sorted(src.rglob("*.rs"))}
    read = {file: imports(file.read_text(), module) for file, module in files.items()}
    test_paths = {
        tuple(files[file] + [name]) for file, (_, names) in read.items() for name in names
    }
    wrong = []
    for file, module in files.items():
        prefixes = {tuple(module[: n + 1]) for n in range(len(module))}
        if "tests" in module or prefixes & test_paths:
            continue
        own = module[0] if module else "lib"
        if own not in LAYER:
            wrong.append(f"{file}:1: module `{own}` is not in the table of ci/layers.py")
            continue
        for line, name in read[file][0]:
            # A name that is no module is an item of lib.rs.
            other = name if name in LAYER else "lib"
            beside = [own, *BESIDE.get(own, "").split()]
            if LAYER[other] < LAYER[own] or other in beside or LAYER[own] == len(LAYERS) - 1:
                continue
            what = name if other == name else f"{name} (crate root)"
            wrong.append(f"{file}:{line}: `{own}` in layer {LAYER[own]} imports `{what}` of {LAYER[other]}")
    return wrong


def table_errors():
    """What is wrong with the two tables themselves."""
    rank = {}
    for own, others in BESIDE.items():
        for other in others.split():
            if LAYER.get(own, -1) != LAYER.get(other, -2):
                yield f"BESIDE: `{own}` and `{other}` are not in one layer"
            rank.setdefault(own, set()).add(other)
    while leaf := [own for own, others in rank.items() if not others & rank.keys()]:
        for own in leaf:
            del rank[own]
    if rank:
        yield f"BESIDE: a cycle among {', '.join(sorted(rank))}"


# A made-up crate: file, source, and the line at which a violation must be found (None: nowhere).
PLANTED = [
    ("arch/mod.rs", "use std::io;\nuse crate::sched::current;\n", 2),
    ("stack.rs", "fn f() {\n    super::park::park()\n}\n", 2),
    ("ticket.rs", "use crate::{\n    util::x,\n    sched::{idle, queue},\n};\n", 3),
    ("sched/idle.rs", "pub fn f(_: Vec<crate::chan::Sender<u8>>) {}\n", 1),
    ("sched/deep/a.rs", "use super::super::super::waitq::Waiter;\n", 1),
    ("sched/inline.rs", "mod a {\n    use super::super::super::waitq;\n}\n", 2),
    ("park.rs", "const A: &[u8] = br#\"x\"y\"#;\nuse crate::spawn;\n", 2),
    ("poll.rs", "use crate::timer::Wheel;\n", 1),
    ("waitq.rs", "use ::fibra::go;\n", 1),
    ("stranger.rs", "", 1),
    ("goroutine.rs", "#[cfg(not(test))]\nuse crate::sched::x;\n", 2),
    ("arch/ok.rs", "// use crate::sched;\n/* crate::park /* */ */ const S: &str = \"crate::park::x\";\n", None),
    ("arch/tests.rs", "use crate::runtime::Runtime;\n", None),
    ("coroutine.rs", "use crate::arch::switch;\nuse crate::stack::Stack;\nuse crate::util::x;\n", None),
    ("events.rs", "#[cfg(test)]\nmod model {\n    use crate::sched::x;\n}\ncrate::event!();\n", None),
    ("timer/mod.rs", "use self::wheel::W;\nuse crate::timer::x;\n#[cfg(all(test, loom))]\nmod model;\n", None),
    ("timer/model.rs", "use crate::runtime::Runtime;\n", None),
    ("sched/mod.rs", "use crate::{goroutine, sched::idle};\npub(in crate::sched) fn f<'a>(c: char) { c == '{' }\n", None),
    ("hook.rs", "struct S {\n    #[cfg(test)]\n    n: u8,\n}\nuse crate::builder::B;\n", 5),
    ("diag.rs", "use crate::{Runtime, sched, builder::B};\n", None),
    ("lib.rs", "pub use crate::chan;\nmod park;\n", None),
]


def self_test():
    """Checks the made-up crate: every planted violation must be found, and nothing else."""
    with tempfile.TemporaryDirectory() as scratch:
        src = Path(scratch)
        for name, text, _ in PLANTED:
            (src / name).parent.mkdir(parents=True, exist_ok=True)
            (src / name).write_text(text)
        found = {":".join(w.split(":", 2)[:2]) for w in check(src)}
        planted = {f"{src / name}:{line}" for name, _, line in PLANTED if line}
        for miss in sorted(planted - found):
            print(f"layers self-test: not found: {miss}")
        for extra in sorted(found - planted):
            print(f"layers self-test: no violation, but reported: {extra}")
        if found != planted:
            return 1
    print(f"layers self-test: all {len(planted)} planted violations found, nothing else")
    return 0


def main():
    if sys.argv[1:] == ["--self-test"]:
        return self_test()
    src = Path("runtime/src")
    wrong = [*table_errors(), *check(src)]
    print("\n".join(wrong) if wrong else f"layers: {len(list(src.rglob('*.rs')))} files in order")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
