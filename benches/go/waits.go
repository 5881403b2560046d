// Goroutines that wait: for a lock, for the time.
package main

import (
	"fmt"
	"sync"
	"sync/atomic"
	"time"
)

// mutexAmong lets a crowd of goroutines lock one mutex, add one and unlock it, count times in all.
func mutexAmong(count int) round {
	times := share(count, crowd)
	var mutex sync.Mutex
	total := 0
	start := time.Now()
	var all sync.WaitGroup
	all.Add(crowd)
	for range crowd {
		go func() {
			for range times {
				mutex.Lock()
				total++
				mutex.Unlock()
			}
			all.Done()
		}()
	}
	all.Wait()
	result := since(start)
	if total != count {
		fail("two held the lock at once")
	}
	return result
}

// sleepers lets count goroutines sleep for different times, and says how late they woke.
func sleepers(count int) round {
	late := make([]time.Duration, count)
	var all sync.WaitGroup
	all.Add(count)
	for i := range count {
		go func() {
			wanted := asleep(i)
			start := time.Now()
			time.Sleep(wanted)
			late[i] = time.Since(start) - wanted
			all.Done()
		}()
	}
	all.Wait()
	var result round
	for _, one := range late {
		if one < 0 {
			fail("somebody woke early")
		}
		result.elapsed += one
		result.worst = max(result.worst, one)
	}
	return result
}

// asleep is how long sleeper i sleeps; src/sleepers/ says why.
func asleep(i int) time.Duration {
	const golden = 0x9E3779B97F4A7C15
	place := (uint64(i) + 1) * golden >> 32
	return time.Duration(place*uint64(time.Second)>>32 + 1)
}

// parked lets count goroutines wait for ever, says so, and stays until the process is ended; src/parked.rs
// does the same.
func parked(count int) {
	var arrived atomic.Int64
	block := make(chan struct{})
	for range count {
		go func() {
			arrived.Add(1)
			<-block
		}()
	}
	for arrived.Load() < int64(count) {
		time.Sleep(time.Millisecond)
	}
	// The last to arrive are on their way.
	time.Sleep(100 * time.Millisecond)
	fmt.Println("parked")
	time.Sleep(time.Hour)
}
