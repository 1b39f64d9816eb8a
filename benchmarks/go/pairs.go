package main

import (
	"fmt"
	"net"
	"os"
	"sync"
	"syscall"
	"time"
	"unsafe"
)

func socketPair() [2]net.Conn {
	fds, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	check(err)
	var pair [2]net.Conn
	for i, fd := range fds {
		file := os.NewFile(uintptr(fd), "pair")
		pair[i], err = net.FileConn(file)
		check(err)
		check(file.Close())
	}
	return pair
}

func tcpPair(listener net.Listener) [2]net.Conn {
	first, err := net.Dial("tcp", listener.Addr().String())
	check(err)
	second, err := listener.Accept()
	check(err)
	for _, end := range []net.Conn{first, second} {
		check(end.(*net.TCPConn).SetLinger(0)) // no TIME_WAIT is left behind; TCP_NODELAY is Go's default
	}
	return [2]net.Conn{first, second}
}

func connectedPairs(count int, kind string) [][2]net.Conn {
	pairs := make([][2]net.Conn, count)
	if kind == "tcp" {
		listener, err := net.Listen("tcp", "127.0.0.1:0")
		check(err)
		defer listener.Close()
		for i := range pairs {
			pairs[i] = tcpPair(listener)
		}
		return pairs
	}
	for i := range pairs {
		pairs[i] = socketPair()
	}
	return pairs
}

// pingPong has two goroutines a pair; so many more are parked in a read of their own.  With "deadline" each
// read's deadline is moved before it.
func pingPong(args []string) bout {
	pairs, kind, idle, deadline := number(args[0]), args[1], number(args[2]), args[3] == "deadline"
	ends := connectedPairs(pairs, kind)
	for _, pair := range connectedPairs(idle/2, "unix") {
		for _, end := range pair {
			go end.Read(make([]byte, 1))
		}
	}
	seconds := make([]int, pairs)
	for i, pair := range ends {
		seconds[i] = fdOf(pair[1])
	}
	run := func(trips int) took {
		var arriving, playing sync.WaitGroup
		made := make([]int, 2*pairs)
		bounce := func(end net.Conn, made *int) {
			defer playing.Done()
			buffer := make([]byte, 4096) // as in pairs.py
			arriving.Done()
			for range trips {
				if deadline {
					check(end.SetReadDeadline(time.Now().Add(time.Minute)))
				}
				n, err := end.Read(buffer)
				check(err)
				_, err = end.Write(buffer[:n])
				check(err)
				*made++
			}
		}
		arriving.Add(2 * pairs)
		playing.Add(2 * pairs)
		for i, pair := range ends {
			go bounce(pair[0], &made[2*i])
			go bounce(pair[1], &made[2*i+1])
		}
		arriving.Wait()
		time.Sleep(5 * time.Millisecond) // all are parked now
		letIn(seconds)
		clocks := startClocks()
		playing.Wait()
		result := clocks.stop()
		takeOut(ends, made, trips)
		return result
	}
	return bout{run, pairs}
}

// letIn writes a byte to each.  As in pairs.py it is nobody's speed, so the clocks start afterwards.  The
// scheduler hears nothing of these calls, so with GOMAXPROCS=1 nobody plays before; with more, some do, and the
// clocks miss a part of their first trip.
func letIn(fds []int) {
	ball := []byte("x")
	for _, fd := range fds {
		n, _, errno := syscall.RawSyscall(syscall.SYS_WRITE, uintptr(fd), uintptr(unsafe.Pointer(&ball[0])), 1)
		if n != 1 {
			panic(errno)
		}
	}
}

func fdOf(end net.Conn) int {
	var number int
	raw, err := end.(syscall.Conn).SyscallConn()
	check(err)
	check(raw.Control(func(fd uintptr) { number = int(fd) }))
	return number
}

// takeOut panics if the work done is not the work asked for.
func takeOut(ends [][2]net.Conn, made []int, trips int) {
	for i, trips_made := range made {
		if trips_made != trips {
			panic(fmt.Sprintf("end %d made %d trips, not %d", i, trips_made, trips))
		}
	}
	buffer := make([]byte, 16)
	for _, pair := range ends {
		n, err := pair[0].Read(buffer)
		check(err)
		if n != 1 {
			panic(fmt.Sprintf("%d bytes were left over, not one", n))
		}
	}
}
