package main

import (
	"bufio"
	"fmt"
	"os"
	"strings"
	"unsafe"

	"golang.org/x/sys/unix"
)

// forgetStart gives back the pages of the program that only its start needed,
// about 2 MB of a daemon's. The kernel reads a page again when it is used
// again. Where this cannot be done, the daemon is only larger.
func forgetStart() {
	maps, err := os.Open("/proc/self/maps")
	if err != nil {
		return
	}
	defer maps.Close()
	self, err := os.Readlink("/proc/self/exe")
	if err != nil {
		return
	}
	for s := bufio.NewScanner(maps); s.Scan(); {
		if from, size, ok := readOnly(s.Text(), self); ok {
			_ = unix.Madvise(unsafe.Slice((*byte)(from), size), unix.MADV_DONTNEED)
		}
	}
}

// readOnly gives where a line of /proc/self/maps has a piece of file that
// nothing can have written to (proc_pid_maps(5)).
func readOnly(line, file string) (from unsafe.Pointer, size uintptr, ok bool) {
	f := strings.Fields(line)
	if len(f) != 6 || f[5] != file || (f[1] != "r--p" && f[1] != "r-xp") {
		return nil, 0, false
	}
	var first, end uintptr
	if n, err := fmt.Sscanf(f[0], "%x-%x", &first, &end); n != 2 || err != nil || end <= first {
		return nil, 0, false
	}
	return *(*unsafe.Pointer)(unsafe.Pointer(&first)), end - first, true // no memory of Go's, which may move
}
