package main

import (
	"fmt"
	"runtime"

	"golang.org/x/sys/unix"
)

// place says where a pair of processes runs.
type place struct{ pinned bool }

var places = []place{{pinned: true}, {pinned: false}}

// on runs f on a thread of its own, which is held to one core when the place
// is pinned. A process that f starts inherits that, and Go programs then take
// GOMAXPROCS=1 by themselves, as with taskset.
func (p place) on(f func() error) error {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	if !p.pinned {
		return f()
	}
	var before, one unix.CPUSet
	if err := unix.SchedGetaffinity(0, &before); err != nil {
		return fmt.Errorf("which cores are allowed: %w", err)
	}
	one.Set(lastOf(&before))
	if err := unix.SchedSetaffinity(0, &one); err != nil {
		return fmt.Errorf("pin to a core: %w", err)
	}
	defer func() { _ = unix.SchedSetaffinity(0, &before) }()
	return f()
}

// lastOf is the highest core: the first ones tend to serve interrupts.
func lastOf(set *unix.CPUSet) int {
	last := 0
	for cpu := range len(set) * 64 {
		if set.IsSet(cpu) {
			last = cpu
		}
	}
	return last
}
