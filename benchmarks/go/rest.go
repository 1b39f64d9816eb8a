package main

import (
	"fmt"
	"io"
	"net"
	"os"
	"runtime/debug"
	"strconv"
	"strings"
	"time"
)

// moveDeadline moves one read deadline forward again and again, while so many others live.
func moveDeadline(args []string) bout {
	const calls = 1000
	live := connectedPairs(max(number(args[0])/2, 1), "unix")
	for i, pair := range live {
		for j, end := range pair {
			check(end.SetReadDeadline(time.Now().Add(time.Hour + time.Duration(2*i+j)*time.Millisecond)))
		}
	}
	end := live[len(live)/2][0]
	run := func(times int) took {
		clocks := startClocks()
		for range times * calls {
			if err := end.SetReadDeadline(time.Now().Add(2 * time.Hour)); err != nil {
				panic(err)
			}
		}
		return clocks.stop()
	}
	return bout{run, calls}
}

// echo serves with a goroutine a connection.
func echo() {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	check(err)
	fmt.Printf("{\"port\": %d}\n", listener.Addr().(*net.TCPAddr).Port)
	for {
		conn, err := listener.Accept()
		check(err)
		go echoOne(conn)
	}
}

func echoOne(conn net.Conn) {
	defer conn.Close()
	buffer := make([]byte, 65536)
	for {
		n, err := conn.Read(buffer)
		if err == io.EOF {
			return
		}
		if err == nil {
			_, err = conn.Write(buffer[:n])
		}
		if err != nil {
			return // the load has gone
		}
	}
}

// idle is the memory of a connection, alone or with a goroutine parked in its read.
func idle(args []string) float64 {
	count, parked := number(args[0]), args[1] == "parked"
	debug.FreeOSMemory()
	before := residentBytes()
	pairs := connectedPairs(count/2, "unix")
	if parked {
		for _, pair := range pairs {
			for _, end := range pair {
				go end.Read(make([]byte, 1))
			}
		}
		time.Sleep(100 * time.Millisecond)
	}
	debug.FreeOSMemory()
	used := float64(residentBytes()-before) / float64(count)
	check(pairs[0][0].Close()) // they lived until here
	return used
}

func residentBytes() int {
	text, err := os.ReadFile("/proc/self/statm")
	check(err)
	pages, err := strconv.Atoi(strings.Fields(string(text))[1])
	check(err)
	return pages * os.Getpagesize()
}
