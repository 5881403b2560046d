// Goroutines come and go.
package main

import (
	"runtime"
	"sync"
	"time"
)

// spawnAll spawns count goroutines and waits for all. A WaitGroup panics when it is counted below
// zero, and Wait returns at zero: each one ran.
func spawnAll(count int) round {
	start := time.Now()
	var all sync.WaitGroup
	all.Add(count)
	for range count {
		go func() { all.Done() }()
	}
	all.Wait()
	return since(start)
}

// spawnJoin spawns a goroutine and waits for its result, count times. Each has a channel of its own,
// which is what a JoinHandle is.
func spawnJoin(count int) round {
	start := time.Now()
	sum := 0
	for i := range count {
		result := make(chan int, 1)
		go func() { result <- i }()
		sum += <-result
	}
	result := since(start)
	checkSum(sum, count)
	return result
}

// spawnJoinReused does the same with one channel for all: the least that Go can do.
func spawnJoinReused(count int) round {
	start := time.Now()
	sum := 0
	result := make(chan int, 1)
	for i := range count {
		go func() { result <- i }()
		sum += <-result
	}
	all := since(start)
	checkSum(sum, count)
	return all
}

// yieldAmong lets a crowd of goroutines yield count times in all.
func yieldAmong(count int) round {
	times := share(count, crowd)
	start := time.Now()
	results := make(chan int, crowd)
	for range crowd {
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
	for range crowd {
		yields += <-results
	}
	result := since(start)
	if yields != count {
		fail("a goroutine stopped before its last yield")
	}
	return result
}

// skynet is a tree of goroutines: leaves send their number up, the others the sum of what they
// received.
func skynet(leaves int) round {
	start := time.Now()
	root := make(chan int, 1)
	go node(0, leaves, root)
	sum := <-root
	result := since(start)
	checkSum(sum, leaves)
	return result
}

func node(first, leaves int, parent chan<- int) {
	if leaves == 1 {
		parent <- first
		return
	}
	// Room for all, so that no child waits for its turn to send.
	sums := make(chan int, children)
	each := leaves / children
	for child := range children {
		go node(first+child*each, each, sums)
	}
	sum := 0
	for range children {
		sum += <-sums
	}
	parent <- sum
}

// forkJoin computes so many Fibonacci numbers, one after the other: of the two parts of each the first is
// forked.
func forkJoin(trees int) round {
	start := time.Now()
	for range trees {
		if fib(35) != 9227465 {
			fail("a part is missing")
		}
	}
	return since(start)
}

func fib(n int) int {
	if n <= 12 {
		return fibAlone(n)
	}
	left := make(chan int, 1)
	go func() { left <- fib(n - 1) }()
	right := fib(n - 2)
	return <-left + right
}

func fibAlone(n int) int {
	if n < 2 {
		return n
	}
	return fibAlone(n-1) + fibAlone(n-2)
}
