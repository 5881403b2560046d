// A server in Go: HTTP hello, echo, or accept-echo-close. Runs until it is ended. The same as
// src/bin/http_hello.rs; http.sh runs both in turn.
package main

import (
	"bytes"
	"fmt"
	"net"
	"os"
	"runtime"
)

const (
	usage   = "usage: hello hello|echo|cycle PORT   PORT 0 is any that is free"
	workers = 2
	// The bytes of a request that are kept, and the most that one read takes.
	room  = 4096
	reply = "HTTP/1.1 200 OK\r\n" +
		"Content-Type: text/plain\r\n" +
		"Content-Length: 13\r\n" +
		"\r\n" +
		"Hello, World!"
)

func main() {
	if len(os.Args) != 3 {
		fail(usage)
	}
	var talk func(net.Conn)
	switch os.Args[1] {
	case "hello":
		talk = hello
	case "echo":
		talk = echo
	case "cycle":
		talk = cycle
	default:
		fail(usage)
	}
	runtime.GOMAXPROCS(workers)
	listener, err := net.Listen("tcp", "127.0.0.1:"+os.Args[2])
	if err != nil {
		fail(err)
	}
	fmt.Println("listening on", listener.Addr())
	for {
		// With TCP_NODELAY, unless told otherwise.
		conn, err := listener.Accept()
		if err != nil {
			fail(err)
		}
		go func() {
			defer conn.Close()
			talk(conn)
		}()
	}
}

// hello greets for every request whose header is complete.
func hello(conn net.Conn) {
	input := make([]byte, room)
	var output []byte
	filled := 0
	for filled < room {
		count, err := conn.Read(input[filled:])
		if err != nil {
			return
		}
		begin, end := 0, filled+count
		output = output[:0]
		for length := headerLength(input[:end]); length > 0; length = headerLength(input[begin:end]) {
			output = append(output, reply...)
			begin += length
		}
		filled = copy(input, input[begin:end])
		if len(output) == 0 {
			continue
		}
		if _, err := conn.Write(output); err != nil {
			return
		}
	}
}

// echo sends back whatever comes.
func echo(conn net.Conn) {
	input := make([]byte, room)
	for {
		count, err := conn.Read(input)
		if err != nil {
			return
		}
		if _, err := conn.Write(input[:count]); err != nil {
			return
		}
	}
}

// cycle sends back one message.
func cycle(conn net.Conn) {
	input := make([]byte, room)
	count, err := conn.Read(input)
	if err == nil {
		// A connection that breaks is the other side's affair.
		_, _ = conn.Write(input[:count])
	}
}

// headerLength is the length of the header that input begins with, 0 if its end is not there.
// src/conversation/ says why it looks like this.
func headerLength(input []byte) int {
	last := 3
	for last < len(input) {
		switch input[last] {
		case '\n':
			if bytes.Equal(input[last-3:last], []byte("\r\n\r")) {
				return last + 1
			}
			last += 2
		case '\r':
			last++
		default:
			last += 4
		}
	}
	return 0
}

func fail(reason any) {
	fmt.Fprintln(os.Stderr, reason)
	os.Exit(1)
}
