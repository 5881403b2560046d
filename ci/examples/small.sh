# The examples that fit on a page, against what awk makes of the same question.
#
# Able to fail: a sieve that let one multiple through, stopped one prime early, panicked when stdout closed,
# ignored that it was full, or took 0; a skynet that lost a leaf or kept 512 bytes for each goroutine; a pool
# that did not sort, lost a job, or kept a sender (it hung); and a `select_timeout` without its deadline, with
# a timeout of zero, or with an arm that was not disabled were each stopped.

say "hello"
[[ $(./hello | wc -l) == 10 ]] || fail "hello: not ten lines"

say "prime_sieve"
primes() {
    awk -v count="$1" 'BEGIN {
        for (n = 2; found < count; n++) {
            prime = 1
            for (d = 2; d * d <= n; d++) if (n % d == 0) { prime = 0; break }
            if (prime) { print n; found++ }
        }
    }'
}
run 0 prime_sieve
diff <(primes 100) out >&2 || fail "prime_sieve: not the first 100 primes"
for count in 1 2 500; do
    run 0 prime_sieve $count
    diff <(primes $count) out >&2 || fail "prime_sieve $count: not the first $count primes"
    complains
done
for count in 0 10001 99999999999; do
    refuses "$count is not in 1..=10000" prime_sieve $count
done
refuses "unexpected argument '-1'" prime_sieve -1
refuses 'invalid digit' prime_sieve many
survives_stdout prime_sieve 700

say "select_timeout"
for FIBRA_WORKERS in 1 2 4; do
    export FIBRA_WORKERS
    run 0 select_timeout
    complains
    diff - out <<'OUTPUT' >&2 || fail "select_timeout with $FIBRA_WORKERS workers"
default: nothing there
default: Ok("a word")
timeout: nobody sent for 20ms
timeout: Ok("a late word")
after: enough
tick: 1
tick: 2
tick: 3
tick: the task has ended
merge: [0, 1, 2, 3, 4, 5, 7, 9]
OUTPUT
done
unset FIBRA_WORKERS

say "skynet"
run 0 skynet
[[ $(cat out) == $(awk 'BEGIN { printf "%.0f", 1e6 * (1e6 - 1) / 2 }') ]] || fail "skynet: $(cat out)"
grep -qxE '1000000 leaves in [0-9.]+m?s' err || fail "skynet: $(cat err)"
say "$(cat err)"
# One that started all its goroutines at once would take several GiB.
mib=$(FIBRA_WORKERS=2 peak skynet)
say "peak memory of skynet: $mib MiB, at most 256 allowed"
((mib <= 256)) || fail "skynet: $mib MiB"

say "worker_pool"
collatz() {
    awk -v jobs="$1" 'BEGIN {
        for (job = 1; job <= jobs; job++) {
            steps = 0
            for (n = job; n != 1; steps++) n = n % 2 ? 3 * n + 1 : n / 2
            print job, steps
        }
    }'
}
run 0 worker_pool
diff <(collatz 20) out >&2 || fail "worker_pool: not the steps of 1 to 20"
collatz 5000 >expected
for workers in 1 2 1000; do
    run 0 worker_pool 5000 --workers $workers
    diff expected out >&2 || fail "worker_pool --workers $workers: not the steps of 1 to 5000"
    complains
done
refuses '0 is not in 1' worker_pool 0
refuses '0 is not in 1' worker_pool --workers 0
refuses '10001 is not in 1' worker_pool --workers 10001
refuses '1000001 is not in 1' worker_pool 1000001
survives_stdout worker_pool 50000
