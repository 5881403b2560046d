#!/usr/bin/env bash
# The examples build in release mode and do what they say. `digest` is compared with `sha256sum` on
# generated trees: every kind of name and entry, a deep tree, one of 100 000 files.
#
# Able to fail: a digest that followed links, that sorted by path component, that did not escape names
# or wrote them as UTF-8, that walked by recursion, that read whole files, that reported a closed stdout
# or ignored a full one, that always exited with 0, and that drew no bar were each stopped.
set -euo pipefail
cd "$(dirname "$0")/.."

# As `digest` and `sha256sum` must both see the same bytes.
export LC_ALL=C
# Peak resident memory that a tree of 100 000 files may take.
max_mib=64

cargo build --release --examples
bin=$(realpath "${CARGO_TARGET_DIR:-target}")/release/examples

work=$(mktemp -d)
trap 'chmod -R u+rwx "$work"; rm -rf "$work"' EXIT
# Open to another user, who runs the test of unreadable entries.
chmod 755 "$work"
install -m 755 "$bin/digest" "$work/digest"
cd "$work"

fail() {
    echo "examples: $*" >&2
    exit 1
}

# Runs digest with its output in `out` and `err`, and checks the exit status.
digest() {
    local want=$1 status=0
    shift
    "${as_user[@]}" ./digest "$@" >out 2>err || status=$?
    [[ $status == "$want" ]] || fail "digest $*: exit status $status, not $want: $(head -3 err)"
    ! grep -q panicked err || fail "digest $*: $(head -3 err)"
}
as_user=()

# What digest must print for a path.
expected() {
    find "$1" -type f -print0 | sort -z | xargs -0r sha256sum
}

same() {
    diff <(expected "$1") out >&2 || fail "digest $1: not what sha256sum prints"
    [[ ! -s err ]] || fail "digest $1: $(head -3 err)"
}

echo "examples: hello"
[[ $("$bin/hello" | wc -l) == 10 ]] || fail "hello: not ten lines"

echo "examples: digest of this project's source"
digest 0
[[ $(grep -c 'examples/digest\.rs$' out) == 1 ]] || fail "digest: its own source is missing"
! grep -qE '/(target|\.git)/' out || fail "digest: build products or git objects in the default"
sha256sum --check --quiet out

echo "examples: digest of names and entries of every kind"
python3 - <<'PYTHON'
import os, socket
os.makedirs(b"odd/sub.d/empty")
os.mkdir(b"odd/sub")
# `sub.d` sorts before `sub/`, though `sub` is the lesser component.
names = [b"plain", b"sub/x", b"sub.d/x", b"a b", b"-n", b"back\\slash", b"new\nline", b"return\r", b"\\",
         b"\xff\xfe not UTF-8", "\u20ac".encode(), b"*?[", b"tab\t", b" lead", b"trail ", b".hidden"]
for i, name in enumerate(names):
    open(b"odd/" + name, "wb").write(name * i)
# Around the buffer's 64 KiB, and a hole.
for size in (65535, 65536, 65537, 10_000_000):
    open(f"odd/{size}", "wb").write(os.urandom(size))
os.truncate("odd/plain", 3_000_000)
os.symlink("plain", "odd/link to file")
os.symlink("..", "odd/link to directory")
os.symlink("nowhere", "odd/link to nothing")
os.mkfifo("odd/pipe")
socket.socket(socket.AF_UNIX).bind("odd/socket")
PYTHON
# Deeper than a goroutine's stack can follow by recursion, and within PATH_MAX.
deep=deep/$(printf 'd/%.0s' {1..1900})
mkdir -p "$deep"
echo end >"$deep/end"
for path in odd odd/ ./odd "$work/odd" odd/plain odd/sub.d/empty deep; do
    digest 0 "$path"
    same "$path"
done
digest 0 odd
sha256sum --check --quiet out
digest 0 .
digest 0 "odd/link to directory"
digest 0 -- odd/-n

echo "examples: digest of what cannot be read"
digest 1 missing
grep -q '^digest: missing: No such file' err || fail "digest missing: $(cat err)"
digest 1 odd/pipe
# It opens, but its first page cannot be read.
digest 1 /proc/self/mem
grep -q '^digest: /proc/self/mem: ' err || fail "digest /proc/self/mem: $(cat err)"
digest 2 too many
mkdir -p locked/closed
echo a >locked/closed/a
echo b >locked/secret
echo c >locked/open
chmod 000 locked/closed locked/secret
# Root can read everything.
((UID > 0)) || as_user=(setpriv --reuid=65534 --regid=65534 --clear-groups)
digest 1 locked
as_user=()
diff <(sha256sum locked/open) out >&2 || fail "digest locked: the readable file is missing"
diff <(printf 'digest: locked/%s: Permission denied (os error 13)\n' closed secret) err >&2 ||
    fail "digest locked: does not report what it cannot read"

echo "examples: digest of 100 000 files"
python3 - <<'PYTHON'
import os
for d in range(1000):
    os.makedirs(f"many/{d % 10}/{d}")
    for f in range(100):
        with open(f"many/{d % 10}/{d}/{f}", "w") as file:
            file.write(f"{d} {f}\n" * (f + 1))
for d in range(10):
    with open(f"many/{d}/large", "wb") as file:
        file.truncate(50_000_000)
PYTHON
digest 0 many
same many
mib=$(python3 - <<'PYTHON'
import resource, subprocess
subprocess.run(["./digest", "many"], check=True, stdout=subprocess.DEVNULL)
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss // 1024)
PYTHON
)
echo "examples: peak memory $mib MiB, at most $max_mib allowed"
((mib <= max_mib)) || fail "digest many: $mib MiB"

echo "examples: digest with stdout closed early, full, and on a terminal"
set +o pipefail
./digest many 2>err | head -1 >out
set -o pipefail
[[ $(wc -l <out) == 1 && ! -s err ]] || fail "digest many | head: $(head -3 err)"
status=0
./digest many >/dev/full 2>err || status=$?
[[ $status == 1 ]] && grep -q '^digest: standard output: No space' err ||
    fail "digest >/dev/full: exit status $status: $(head -3 err)"
python3 - >bar <<'PYTHON'
import pty
pty.spawn(["sh", "-c", "exec ./digest many >/dev/null"])
PYTHON
grep -q '/100,010 files' bar || fail "digest: no progress bar on a terminal"
echo "examples: all as they should be"
