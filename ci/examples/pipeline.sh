# `pipeline` prints what `sha256sum` does, in any order, until something cannot be read.
#
# That nothing is left running shows in that it ends, since `main` waits for all goroutines.
#
# Able to fail: a pipeline that followed links, in which nobody looked at the context, that went on after a
# file or a folder that it could not read, whose `main` kept a sender (it hung), that did not wait for the
# goroutines, whose channel of paths was unbounded, that always exited with 0, that ignored a full stdout
# and that did not flush were each stopped.

# Peak resident memory, however large the tree. (The paths of 100 000 files alone take as much.)
max_kib=6144

sorted() {
    diff <(expected "$1" | sort) <(sort out) >&2 || fail "pipeline $1: not what sha256sum prints"
    complains
}

say "pipeline over names and entries of every kind"
for path in odd odd/ "$work/odd" odd/plain odd/sub.d/empty "odd/link to file" deep; do
    run 0 pipeline "$path"
    case $path in
    *link*) [[ $(cut -c-64 out) == $(sha256sum <"$path" | cut -c-64) ]] || fail "pipeline $path" ;;
    *) sorted "$path" ;;
    esac
done
run 0 pipeline odd
sha256sum --check --quiet out
for digesters in 1 3 1024; do
    for FIBRA_WORKERS in 1 4; do
        export FIBRA_WORKERS
        run 0 pipeline odd --digesters $digesters
        sorted odd
    done
done
unset FIBRA_WORKERS

say "pipeline over what cannot be read"
run 1 pipeline missing
complains 'pipeline: missing: No such file or directory (os error 2)'
[[ ! -s out ]] || fail "pipeline missing: $(head -3 out)"
run 1 pipeline odd/pipe
complains 'pipeline: odd/pipe: Not a directory (os error 20)'
run 1 pipeline /proc/self/mem
grep -q '^pipeline: /proc/self/mem: ' err || fail "pipeline /proc/self/mem: $(cat err)"
# Two of the entries cannot be read; whichever comes first is reported, and nothing else.
as_user=("${other_user[@]}")
for digesters in 1 2 8; do
    run 1 pipeline locked --digesters $digesters
    [[ $(wc -l <err) == 1 ]] || fail "pipeline locked: not one line on stderr: $(cat err)"
    grep -qxE 'pipeline: locked/(closed|secret): Permission denied \(os error 13\)' err ||
        fail "pipeline locked: $(cat err)"
done

say "pipeline stops at the first error"
# The walker sends what is in a folder before it looks into those below, so the file that cannot be
# read comes among the first. With one worker the goroutines take turns, so that it is soon looked at.
mkdir stops
mv many stops/many
echo >stops/secret
chmod 000 stops/secret
for digesters in 1 4 100; do
    FIBRA_WORKERS=1 run 1 pipeline stops --digesters $digesters
    complains 'pipeline: stops/secret: Permission denied (os error 13)'
    (($(wc -l <out) < 50000)) || fail "pipeline stops: $(wc -l <out) files after the first error"
    run 1 pipeline stops --digesters $digesters
    complains 'pipeline: stops/secret: Permission denied (os error 13)'
done
as_user=()
mv stops/many many

say "pipeline over 100 000 files"
# Reads the peak from /proc while the process is there to ask, which is until its last lines are taken.
# (What `wait4` tells includes the Python that started it.)
kib=$(FIBRA_WORKERS=2 python3 - <<'PYTHON'
import re, subprocess
pipeline = subprocess.Popen(["./pipeline", "many"], stdout=subprocess.PIPE, stderr=open("err", "wb"))
with open("out", "wb") as out, open(f"/proc/{pipeline.pid}/status") as status:
    while chunk := pipeline.stdout.read1(65536):
        out.write(chunk)
        status.seek(0)
        # Gone at the very end.
        if line := re.search(r"VmHWM:\s*(\d+) kB", status.read()):
            peak = int(line[1])
assert pipeline.wait() == 0
print(peak)
PYTHON
)
sorted many
say "peak memory of pipeline: $kib KiB, at most $max_kib allowed"
((kib <= max_kib)) || fail "pipeline many: $kib KiB"

say "pipeline with stdout closed early and full, and arguments that cannot be"
survives_stdout pipeline many
for digesters in 0 1025; do
    refuses "$digesters is not in 1..=1024" pipeline --digesters $digesters odd
done
refuses 'invalid digit' pipeline --digesters many odd
refuses 'required arguments' pipeline
