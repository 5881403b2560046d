// Goroutines that send to one another.
package main

import (
	"sync"
	"time"
)

// pingPong sends a number to another goroutine and back, count times, in a rendezvous.
func pingPong(count int) round {
	ping, pong := make(chan int), make(chan int)
	start := time.Now()
	go func() {
		for number := range ping {
			pong <- number + 1
		}
	}()
	number := 0
	for range count {
		ping <- number
		number = <-pong
	}
	result := since(start)
	close(ping)
	if number != count {
		fail("a message was lost")
	}
	return result
}

// manyToMany lets parties senders send count messages in all to as many receivers, through one
// channel.
func manyToMany(count int) round {
	each := share(count, parties)
	type received struct{ count, sum int }
	results := make(chan received, parties)
	messages := make(chan int, capacity)
	start := time.Now()
	for range parties {
		go func() {
			var mine received
			for number := range messages {
				mine.count++
				mine.sum += number
			}
			results <- mine
		}()
	}
	var senders sync.WaitGroup
	senders.Add(parties)
	for sender := range parties {
		go func() {
			for number := sender * each; number < (sender+1)*each; number++ {
				messages <- number
			}
			senders.Done()
		}()
	}
	senders.Wait()
	close(messages)
	var all received
	for range parties {
		one := <-results
		all.count += one.count
		all.sum += one.sum
	}
	result := since(start)
	if all.count != count {
		fail("a message was lost")
	}
	checkSum(all.sum, count)
	return result
}

// selectOfTwo receives count messages that one sender sends, in turn to two channels.
func selectOfTwo(count int) round {
	evens, odds := make(chan int), make(chan int)
	start := time.Now()
	go func() {
		for number := range count {
			if number%2 == 0 {
				evens <- number
			} else {
				odds <- number
			}
		}
	}()
	for next := range count {
		var rest, number int
		select {
		case number = <-evens:
			rest = 0
		case number = <-odds:
			rest = 1
		}
		if rest != next%2 || number != next {
			fail("out of order")
		}
	}
	return since(start)
}
