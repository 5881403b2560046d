// One work in Go, several rounds: prints the nanoseconds per operation of each round. The same as
// src/bin/rounds.rs; against-go.sh runs both in turn.
package main

import (
	"fmt"
	"os"
	"runtime"
	"strconv"
	"sync"
	"time"
)

const (
	usage    = "usage: rounds spawn|spawn-join|spawn-join-reused|yield COUNT ROUNDS"
	workers  = 2
	yielders = 100
)

func main() {
	if len(os.Args) != 4 {
		fail(usage)
	}
	works := map[string]func(int) time.Duration{
		"spawn":             spawnAll,
		"spawn-join":        spawnJoin,
		"spawn-join-reused": spawnJoinReused,
		"yield":             yieldAmong,
	}
	work := works[os.Args[1]]
	count, countErr := strconv.Atoi(os.Args[2])
	rounds, roundsErr := strconv.Atoi(os.Args[3])
	if work == nil || countErr != nil || roundsErr != nil {
		fail(usage)
	}
	runtime.GOMAXPROCS(workers)
	for range rounds {
		fmt.Printf("%.1f\n", float64(work(count).Nanoseconds())/float64(count))
	}
}

// spawnAll spawns count goroutines and waits for all. A WaitGroup panics when it is counted below
// zero, and Wait returns at zero: each one ran.
func spawnAll(count int) time.Duration {
	start := time.Now()
	var all sync.WaitGroup
	all.Add(count)
	for range count {
		go func() { all.Done() }()
	}
	all.Wait()
	return time.Since(start)
}

// spawnJoin spawns a goroutine and waits for its result, count times. Each has a channel of its own,
// which is what a JoinHandle is.
func spawnJoin(count int) time.Duration {
	start := time.Now()
	sum := 0
	for i := range count {
		result := make(chan int, 1)
		go func() { result <- i }()
		sum += <-result
	}
	elapsed := time.Since(start)
	checkSum(sum, count)
	return elapsed
}

// spawnJoinReused does the same with one channel for all: the least that Go can do.
func spawnJoinReused(count int) time.Duration {
	start := time.Now()
	sum := 0
	result := make(chan int, 1)
	for i := range count {
		go func() { result <- i }()
		sum += <-result
	}
	elapsed := time.Since(start)
	checkSum(sum, count)
	return elapsed
}

// yieldAmong lets goroutines yield count times in all.
func yieldAmong(count int) time.Duration {
	times := count / yielders
	start := time.Now()
	results := make(chan int, yielders)
	for range yielders {
		go func() {
			yields := 0
			for range times {
				runtime.Gosched()
				yields++
			}
			results <- yields
		}()
	}
	yields := 0
	for range yielders {
		yields += <-results
	}
	elapsed := time.Since(start)
	if yields != yielders*times {
		fail("a goroutine stopped before its last yield")
	}
	return elapsed
}

func checkSum(sum, count int) {
	if sum != count*(count-1)/2 {
		fail("a goroutine did not run, or its result is wrong")
	}
}

func fail(message string) {
	fmt.Fprintln(os.Stderr, message)
	os.Exit(1)
}
