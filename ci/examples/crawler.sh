# `crawler` prints what a crawler in Python does, and stops where it should.
#
# Able to fail: a crawler without the semaphore, with one permit, or whose permit was given back before the
# read; one that read a page each time that it was linked to, that did not listen to the context, that read
# on the worker, that had no page limit or did not say that it had reached it, that left the folder,
# followed other schemes, kept anchors, knew no `href`, read folders, printed pages in the order in which
# they were read, did not report broken links, or always exited with 0 were each stopped.

# A crawler with other means: `reference ROOT START [PAGES]` prints what `crawler` must, and on stderr what
# it must report.
cat >reference <<'PYTHON'
import os, re, sys
root, start, most = sys.argv[1], sys.argv[2], int(sys.argv[3]) if len(sys.argv) > 3 else 1000
depth, level, seen, reports = 0, [start], {start}, []
while level:
    batch, rest = level[:most], level[most:]
    most -= len(batch)
    found = set()
    for page in batch:
        text = open(os.path.join(root, page), encoding="utf-8", errors="replace").read()
        print(depth, page)
        targets = set()
        for link in re.findall(r'\]\(([^) \n]*)[) \n]', text) + re.findall(r'href="([^"]*)"', text):
            link = re.split("[#?]", link)[0]
            if not link or link.startswith("/") or re.match(r"[^/]*:", link):
                continue
            target = os.path.normpath(os.path.join(os.path.dirname(page), link))
            if target != ".." and not target.startswith("../"):
                targets.add(target)
        for target in sorted(targets, key=lambda t: t.split("/")):
            path = os.path.join(root, target)
            if not os.path.exists(path):
                reports.append(f"crawler: {page}: link to {target}: No such file or directory (os error 2)")
            elif re.search(r"\.(md|html|htm)$", target) and not os.path.isdir(path):
                found.add(target)
    if rest:
        reports.append(f"crawler: stopped at depth {depth}: {sys.argv[3]} pages were read")
        break
    # As paths sort: component by component.
    level = sorted(found - seen, key=lambda t: t.split("/"))
    seen |= found
    depth += 1
sys.stderr.writelines(report + "\n" for report in reports)
PYTHON

# Compares a crawl from a page in a folder with the reference: `same_crawl STATUS ROOT START [OPTION…]`.
same_crawl() {
    local want=$1 root=$2 start=$3 pages=
    shift 3
    [[ ${1-} != --pages ]] || pages=$2
    python3 reference "$root" "$start" $pages >expected 2>reports
    run "$want" crawler "$root/$start" --timeout 90 "$@"
    diff expected out >&2 || fail "crawler $root/$start $*: not what the reference prints"
    diff reports err >&2 || fail "crawler $root/$start $*: does not report what the reference does"
}

say "crawler over this project"
# Which also finds the broken links in its documentation.
project=$(dirname "$parts")
project=$(dirname "$project")
run 0 crawler
python3 reference "$project" README.md >expected
diff expected out >&2 || fail "crawler: not what the reference prints"
complains
grep -qx '0 README.md' out && grep -qx '1 HACKING.md' out || fail "crawler: pages are missing"

say "crawler over a graph of 3000 pages"
python3 - <<'PYTHON'
import os, random
dice = random.Random(1)
folders = ["", "a", "a/b", "a.b", "c"]
pages = [os.path.join(dice.choice(folders), f"{i}{dice.choice(['.md', '.html', '.htm'])}") for i in range(3000)]
for folder in folders:
    os.makedirs(os.path.join("graph", folder), exist_ok=True)
pages[0] = "start.md"
def link(page, target):
    path = os.path.relpath(target, os.path.dirname(page) or ".") + dice.choice(["", "", "#part", "?x=1#y"])
    path = dice.choice(["", "./", "../../" + "../" * 9 if dice.random() < 0.01 else ""]) + path
    return dice.choice(['[text](%s)', '[a title](%s "title")', '<a href="%s">', '[![b](c.png)](%s)\n']) % path
for i, page in enumerate(pages):
    targets = dice.choices(pages, k=dice.randrange(4)) + [page]        # each is in a cycle
    lines = [link(page, target) for target in targets]
    lines += ["[site](https://example.org/x.md)", "[mail](mailto:x@example.org)", "[root](/etc/passwd)",
              "[here](#part)", "[c](c.png)", "[folder](.)", "[", "](", "\xe9 not UTF-8"]
    dice.shuffle(lines)
    open(os.path.join("graph", page), "w", encoding="latin-1").write(" ".join(lines) + "\n[](unclosed")
for folder in folders:
    open(os.path.join("graph", folder, "c.png"), "wb").write(b"](no-page.md)")
PYTHON
same_crawl 0 graph start.md --pages 5000
(($(wc -l <out) > 1000)) || fail "crawler: the graph is too small: $(wc -l <out)"
cp out all
for at_once in 1 3 512; do
    same_crawl 0 graph start.md --pages 5000 --at-once $at_once
done
for FIBRA_WORKERS in 1 4; do
    export FIBRA_WORKERS
    same_crawl 0 graph start.md --pages 5000
done
unset FIBRA_WORKERS
# Stopped in the middle of a level, and at its end.
for pages in 1 2 $((2 + $(grep -c '^1 ' all))) 1000; do
    same_crawl 1 graph start.md --pages $pages
done
same_crawl 0 graph start.md --pages "$(wc -l <all)"

say "crawler over broken and endless links"
mkdir broken
echo '[a](a.md) [b](b.md) [c](none.png) [d](none/d.md) [e](folder.md) [f](plain/f.md)' >broken/start.md
echo '[start](start.md) [b](b.md) [other](../start.md)' >broken/a.md
mkdir broken/folder.md
same_crawl 1 broken start.md
[[ $(wc -l <err) == 5 ]] || fail "crawler: not five broken links: $(cat err)"
# Each turn through the link to the folder itself is another page.
mkdir endless
ln -s . endless/turn
echo '[again](turn/page.md)' >endless/page.md
same_crawl 1 endless page.md --pages 20
[[ $(wc -l <out) == 20 ]] || fail "crawler: $(wc -l <out) pages, not 20"

say "crawler over what cannot be read"
run 1 crawler missing.md
complains 'crawler: missing.md: No such file or directory (os error 2)'
run 1 crawler missing/page.md
complains 'crawler: page.md: No such file or directory (os error 2)'
run 1 crawler graph
complains 'crawler: graph: Is a directory (os error 21)'
run 1 crawler graph/..
complains 'crawler: graph/..: not a page'
echo '[locked](locked.md)' >broken/to-locked.md
echo '[start](start.md)' >broken/locked.md
chmod 000 broken/locked.md
as_user=("${other_user[@]}")
run 1 crawler broken/to-locked.md
as_user=()
complains 'crawler: locked.md: Permission denied (os error 13)'
[[ $(cat out) == '0 to-locked.md' ]] || fail "crawler: $(cat out)"

say "crawler with a page that never comes"
mkdir slow
echo '[a](a.md) [pipe](pipe.md)' >slow/start.md
echo '[deeper](b.md)' >slow/a.md
echo >slow/b.md
mkfifo slow/pipe.md
# With one worker, as whoever blocks its thread there blocks `main`, too.
for at_once in 1 2 8; do
    FIBRA_WORKERS=1 run 1 crawler slow/start.md --timeout 0.3 --at-once $at_once
    # A slow machine may not even have read the first page by then.
    if [[ -s out ]]; then
        complains 'crawler: stopped at depth 1: the time is over'
        [[ $(cat out) == '0 start.md' ]] || fail "crawler: $(cat out)"
    else
        complains 'crawler: stopped at depth 0: the time is over'
    fi
done

say "crawler reads as many pages at once as it may"
mkdir at-once
for i in {1..20}; do
    mkfifo at-once/$i.md
    echo "[$i]($i.md)" >>at-once/start.md
done
python3 - <<'PYTHON'
import os, subprocess, time

crawler = subprocess.Popen(["./crawler", "at-once/start.md", "--at-once", "4", "--timeout", "90"],
                           stdout=subprocess.PIPE, text=True)
waiting = [f"at-once/{i}.md" for i in range(1, 21)]
being_read = []
def look():
    for pipe in waiting[:]:
        try:
            # A pipe can be opened like this when somebody has it open for reading, or is about to.
            being_read.append(os.open(pipe, os.O_WRONLY | os.O_NONBLOCK))
            waiting.remove(pipe)
        except OSError:
            pass
def asleep():
    try:
        tasks = os.listdir(f"/proc/{crawler.pid}/task")
        stats = [open(f"/proc/{crawler.pid}/task/{task}/stat").read() for task in tasks]
        return all(stat.rsplit(") ", 1)[1][0] == "S" for stat in stats)
    except FileNotFoundError:
        return False
try:
    while waiting or being_read:
        assert crawler.poll() is None, "it ended with pages unread"
        look()
        due = min(4, len(waiting) + len(being_read))
        # All that it will open it has open when all its threads sleep.
        if len(being_read) >= due and asleep():
            look()
            assert len(being_read) == due, f"{len(being_read)} pages are read at once, not {due}"
            os.close(being_read.pop())
        time.sleep(0.001)
    lines = crawler.communicate()[0].splitlines()
    assert len(lines) == 21 and crawler.returncode == 0, (lines, crawler.returncode)
finally:
    crawler.kill()
PYTHON

say "crawler with stdout closed early and full, and arguments that cannot be"
survives_stdout crawler graph/start.md --pages 5000
for arguments in '--pages 0' '--pages 10001' '--at-once 0' '--at-once 513'; do
    refuses ' is not in 1..=' crawler $arguments
done
refuses 'must be more than 0' crawler --timeout 0
refuses "unexpected argument '-1'" crawler --timeout -1
refuses 'too big or NaN' crawler --timeout nan
refuses 'too big or NaN' crawler --timeout 1e30
refuses 'invalid float' crawler --timeout soon
