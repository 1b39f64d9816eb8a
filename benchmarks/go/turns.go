package main

import (
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"
)

// turns has goroutines that do nothing but let the others run.
func turns(args []string) bout {
	const all = 1000 // as in pairs.py
	tasks := number(args[0])
	run := func(times int) took {
		return together(tasks, times*all, func() int {
			each := times * all / tasks
			for range each {
				runtime.Gosched()
			}
			return each
		})
	}
	return bout{run, all}
}

// spawn starts so many goroutines at a time, which do next to nothing, and waits for them.
func spawn(args []string) bout {
	tasks := number(args[0])
	run := func(times int) took {
		clocks := startClocks()
		for range times {
			together(tasks, tasks, func() int { return 1 })
		}
		return clocks.stop()
	}
	return bout{run, tasks}
}

// together runs the work in so many goroutines; it panics if they do not do as much as is expected.
func together(tasks, expected int, work func() int) took {
	var working sync.WaitGroup
	var done atomic.Int64
	clocks := startClocks()
	working.Add(tasks)
	for range tasks {
		go func() {
			defer working.Done()
			done.Add(int64(work()))
		}()
	}
	working.Wait()
	result := clocks.stop()
	if done.Load() != int64(expected) {
		panic(fmt.Sprintf("%d were done, not %d", done.Load(), expected))
	}
	return result
}
