// One work in Go, several rounds: prints a line for each, the nanoseconds per operation and what else
// there is to know of it. The same as src/bin/rounds.rs; against-go.sh runs both in turn.
package main

import (
	"fmt"
	"os"
	"runtime"
	"strconv"
	"time"
)

const (
	usage = "usage: rounds spawn|spawn-join|spawn-join-reused|yield|skynet|fork-join|ping-pong|many-to-many|select|" +
		"mutex|sleepers|parked COUNT ROUNDS"
	workers = 2
	// How many goroutines yield, or lock.
	crowd = 100
	// How many goroutines send into one channel of this capacity; as many receive.
	parties  = 4
	capacity = 128
	// Children of a node of skynet.
	children = 10
)

// A round is what a work took in all, and the longest that an operation took where that is known.
type round struct {
	elapsed time.Duration
	worst   time.Duration
}

func main() {
	if len(os.Args) != 4 {
		fail(usage)
	}
	works := map[string]func(int) round{
		"spawn":             spawnAll,
		"spawn-join":        spawnJoin,
		"spawn-join-reused": spawnJoinReused,
		"yield":             yieldAmong,
		"skynet":            skynet,
		"fork-join":         forkJoin,
		"ping-pong":         pingPong,
		"many-to-many":      manyToMany,
		"select":            selectOfTwo,
		"mutex":             mutexAmong,
		"sleepers":          sleepers,
	}
	work := works[os.Args[1]]
	count, countErr := strconv.Atoi(os.Args[2])
	rounds, roundsErr := strconv.Atoi(os.Args[3])
	if (work == nil && os.Args[1] != "parked") || countErr != nil || roundsErr != nil {
		fail(usage)
	}
	runtime.GOMAXPROCS(workers)
	if os.Args[1] == "parked" {
		parked(count)
	}
	for range rounds {
		result := work(count)
		fmt.Printf("ns %.1f", float64(result.elapsed.Nanoseconds())/float64(count))
		if result.worst != 0 {
			fmt.Printf(" worst %d", result.worst.Nanoseconds())
		}
		fmt.Println()
	}
}

// since is a round that began at start and knows nothing else.
func since(start time.Time) round {
	return round{elapsed: time.Since(start)}
}

// share is what each of among does, if they do count together.
func share(count, among int) int {
	if count%among != 0 {
		fail("so many operations cannot be shared by all")
	}
	return count / among
}

func checkSum(sum, count int) {
	if sum != count*(count-1)/2 {
		fail("something was lost, or is wrong")
	}
}

func fail(message string) {
	fmt.Fprintln(os.Stderr, message)
	os.Exit(1)
}
