#!/usr/bin/env bash
# The examples build in release mode and do what they say. Each part is in ci/examples/, beside what
# was done to see it fail. `ci/examples.sh crawler` runs that part only; `digest` and `pipeline` need
# `trees` before them.
set -euo pipefail
cd "$(dirname "$0")/.."

# As the examples and the coreutils must see the same bytes.
export LC_ALL=C

cargo build --release --examples
bin=$(realpath "${CARGO_TARGET_DIR:-target}")/release/examples
parts=$(realpath ci/examples)

work=$(mktemp -d)
trap 'chmod -R u+rwx "$work"; rm -rf "$work"' EXIT
# Open to another user, who runs the tests of unreadable files.
chmod 755 "$work"
for example in chat crawler digest echo_server hello http_server lua master_slave pipeline prime_sieve \
    producer_consumer proxy select_timeout shared_stack skynet tls_server ucontext worker_pool; do
    install -m 755 "$bin/$example" "$work/$example"
done
cd "$work"

say() {
    echo "examples: $*"
}

fail() {
    echo "examples: $*" >&2
    exit 1
}

# Runs an example with its output in `out` and `err`, and checks the exit status: `run 0 digest PATH`.
# One that hangs is ended, and fails.
run() {
    local want=$1 status=0
    shift
    "${as_user[@]}" timeout 100 "./$@" >out 2>err || status=$?
    [[ $status == "$want" ]] || fail "$*: exit status $status, not $want: $(head -3 err)"
    ! grep -q panicked err || fail "$*: $(head -3 err)"
}
as_user=()
# Root can read everything.
other_user=()
((UID > 0)) || other_user=(setpriv --reuid=65534 --regid=65534 --clear-groups)

# What the last run must have printed on stderr, exactly; nothing without arguments.
complains() {
    diff <((($# == 0)) || printf '%s\n' "$@") err >&2 || fail "not what stderr should be (<)"
}

# Refuses arguments and says why: `refuses 'is not in 1' pipeline --digesters 0 .`
refuses() {
    local why=$1
    shift
    run 2 "$@"
    grep -q -- "$why" err || fail "$*: does not say '$why': $(head -3 err)"
}

# Ends in peace when nobody reads its output to the end, and says so when that cannot be written.
survives_stdout() {
    local status=0
    set +o pipefail
    { timeout 100 "./$@" 2>err || echo "exit status $?" >>err; } | head -1 >out
    set -o pipefail
    [[ $(wc -l <out) == 1 && ! -s err ]] || fail "$* | head: $(head -3 err)"
    timeout 100 "./$@" >/dev/full 2>err || status=$?
    [[ $status == 1 ]] && grep -q "^$1: standard output: No space" err ||
        fail "$* >/dev/full: exit status $status: $(head -3 err)"
}

# Peak resident memory of a run, in MiB.
peak() {
    python3 - "$@" <<'PYTHON'
import resource, subprocess, sys
subprocess.run(["./" + sys.argv[1], *sys.argv[2:]], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss // 1024)
PYTHON
}

(($# > 0)) || set -- trees small coroutines digest pipeline crawler network
for part in "$@"; do
    start=$SECONDS
    source "$parts/$part.sh"
    say "$part took $((SECONDS - start)) s"
done
say "all as they should be"
