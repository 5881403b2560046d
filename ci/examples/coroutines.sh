# The classic systems of coroutines and what Fibra makes of them, line by line.
#
# Able to fail: waiting coroutines that were taken for suspended or dead ones, a close that did not unwind, a
# filter that lost a line, a successor that was ignored, members that kept their stacks after their end, and a
# master that forgot the time were each stopped.

say "lua"
run 0 lua
complains
# The first eight lines are those of the reference manual, but for the words of the last one.
diff - out <<'OUTPUT' >&2 || fail "lua: not what Lua prints (<)"
co-body	1	10
foo	2
main	true	4
co-body	r
main	true	11	-9
co-body	x	y
main	true	10	end
main	false	cannot resume a dead coroutine
status	suspended
status	running
status	normal
status	dead
wrap	1
wrap	11
wrap	111
wrap	1110
wrap	cannot resume a dead coroutine
for	l u a
isyieldable	false
running	main
isyieldable	true
running	co
error	cannot resume a coroutine from inside itself
error	cannot resume a coroutine that waits for another one
error	none, it yielded
error	none, it returned
error	cannot resume a dead coroutine
error	oops and dead
close	inner variable
close	outer variable
close	true dead
close	false cannot close
OUTPUT

say "producer_consumer"
run 0 producer_consumer
complains
for direction in pull push; do
    echo $direction
    printf '  %s\n' begin '1 a coroutine is' '2 similar to a thread' '3 (end of text)' '3 lines'
done >expected
diff expected out >&2 || fail "producer_consumer: pull and push should print the same (<)"

say "ucontext"
run 0 ucontext
complains
diff - out <<'OUTPUT' >&2 || fail "ucontext: not what the demonstrations print (<)"
# main -> slave -> back by link
Hello master
Hello slave
Hello master again
# two slaves that link to the master
Hello slave1
Hello BGN
Hello slave2
Hello BGN
# slave1 is suspended and resumed
Hello slave1
Hello BGN
Hello slave2
Hello BGN
Hello slave1 again
Hello BGN
# slave1 links to slave2
Hello slave1
Hello slave2
Hello BGN
# three entry functions take turns on one stack
func1 for the 1. time
func2 for the 1. time
func3 for the 1. time
func1 for the 2. time
func2 for the 2. time
func3 for the 2. time
func1 for the 3. time
func2 for the 3. time
func3 for the 3. time
on one stack
OUTPUT

say "master_slave"
run 0 master_slave
complains
diff - out <<'OUTPUT' >&2 || fail "master_slave: not in the order of time (<)"
  0 request 0 asks for user 7
  0 request 1 sleeps 25
  0 request 2 asks for weather
  0 request 3 done: static page
 10 request 0 asks for orders of Ada
 10 request 2 sleeps 4
 14 request 2 asks for weather
 20 request 0 done: Ada: 2 engines
 24 request 2 sleeps 8
 25 request 1 done: slow page
 32 request 2 asks for weather
 42 request 2 done: sunny at attempt 3
 42 all done, 0 left
OUTPUT

say "shared_stack"
run 0 shared_stack
complains
{
    echo "main start"
    for i in {0..4}; do
        printf 'coroutine %d : %d\n' 0 $i 1 $((100 + i))
    done
    echo "main end"
} >expected
diff expected out >&2 || fail "shared_stack: not what the library's own test program prints (<)"
