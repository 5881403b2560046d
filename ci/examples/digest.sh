# `digest` prints what `sha256sum` does, for every kind of tree.
#
# Able to fail: a digest that followed links, that sorted by path component, that did not escape names
# or wrote them as UTF-8, that walked by recursion, that read whole files, that reported a closed stdout
# or ignored a full one, that always exited with 0, and that drew no bar were each stopped.

# Peak resident memory that a tree of 100 000 files may take.
max_mib=40

same() {
    diff <(expected "$1") out >&2 || fail "digest $1: not what sha256sum prints"
    complains
}

say "digest of this project's source"
run 0 digest
[[ $(grep -c 'examples/digest\.rs$' out) == 1 ]] || fail "digest: its own source is missing"
! grep -qE '/(target|\.git)/' out || fail "digest: build products or git objects in the default"
sha256sum --check --quiet out

say "digest of names and entries of every kind"
for path in odd odd/ ./odd odd/sub/.. "$work/odd" odd/plain odd/sub.d/empty deep; do
    run 0 digest "$path"
    same "$path"
done
run 0 digest odd
sha256sum --check --quiet out
run 0 digest "odd/link to directory"
run 0 digest -- odd/-n

say "digest of what cannot be read"
run 1 digest missing
complains 'digest: missing: No such file or directory (os error 2)'
run 1 digest odd/pipe
# It opens, but its first page cannot be read.
run 1 digest /proc/self/mem
grep -q '^digest: /proc/self/mem: ' err || fail "digest /proc/self/mem: $(cat err)"
run 2 digest too many
as_user=("${other_user[@]}")
run 1 digest locked
as_user=()
diff <(sha256sum locked/open) out >&2 || fail "digest locked: the readable file is missing"
complains "digest: locked/"{closed,secret}": Permission denied (os error 13)"

say "digest of 100 000 files"
run 0 digest many
same many
mib=$(peak digest many)
say "peak memory of digest: $mib MiB, at most $max_mib allowed"
((mib <= max_mib)) || fail "digest many: $mib MiB"

say "digest with stdout closed early, full, and on a terminal"
survives_stdout digest many
python3 - >bar <<'PYTHON'
import pty
pty.spawn(["sh", "-c", "exec ./digest many >/dev/null"])
PYTHON
grep -q '/100,010 files' bar || fail "digest: no progress bar on a terminal"
