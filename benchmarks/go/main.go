// The contestant in Go: goroutines and blocking calls, on the poller that netpoll is modelled on.
//
//	rival-go WORKLOAD TARGET [ARGUMENT ...]
//
// repeats the workload until it takes about TARGET seconds and prints one line of JSON, as the subjects in
// Python and in C do.  GOMAXPROCS is the harness's to set.
package main

import (
	"encoding/json"
	"fmt"
	"os"
	"strconv"
	"syscall"
	"time"
)

// A bout does the work so many times and says what that took; each time is so many operations.
type bout struct {
	run        func(times int) took
	operations int
}

// The seconds of what was measured, and the processor's in the same time.
type took struct{ elapsed, cpu float64 }

type clocks struct {
	start time.Time
	cpu   float64
}

func startClocks() clocks {
	return clocks{cpu: cpuSeconds(), start: time.Now()}
}

func (c clocks) stop() took {
	elapsed := time.Since(c.start).Seconds()
	return took{elapsed, cpuSeconds() - c.cpu}
}

var bouts = map[string]func(args []string) bout{
	"ping_pong":     pingPong,
	"move_deadline": moveDeadline,
	"turns":         turns,
	"spawn":         spawn,
}

func main() {
	workload, args := os.Args[1], os.Args[3:]
	switch workload {
	case "echo":
		echo()
	case "idle":
		say(map[string]float64{"bytes": idle(args)})
	default:
		target, err := strconv.ParseFloat(os.Args[2], 64)
		check(err)
		say(measured(bouts[workload](args), target))
	}
}

// As measured() in bout.py.
func measured(b bout, target float64) map[string]float64 {
	times := 1
	t := b.run(times)
	for t.elapsed < target*0.7 {
		more := min(10, 1.05*target/max(t.elapsed, 1e-9))
		times = max(times+1, int(float64(times)*more)+1)
		t = b.run(times)
	}
	operations := float64(times * b.operations)
	return map[string]float64{"time": t.elapsed / operations, "cpu": t.cpu / operations, "operations": operations}
}

func cpuSeconds() float64 {
	var used syscall.Rusage
	check(syscall.Getrusage(syscall.RUSAGE_SELF, &used))
	return time.Duration(used.Utime.Nano() + used.Stime.Nano()).Seconds()
}

func say(values map[string]float64) {
	line, err := json.Marshal(values)
	check(err)
	fmt.Println(string(line))
}

func check(err error) {
	if err != nil {
		panic(err)
	}
}

func number(text string) int {
	value, err := strconv.Atoi(text)
	check(err)
	return value
}
