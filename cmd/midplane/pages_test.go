package main

import (
	"fmt"
	"os"
	"testing"
)

func TestReadOnlyPieces(t *testing.T) {
	const file = "/usr/bin/midplane"
	for line, size := range map[string]uintptr{
		"00400000-00d83000 r-xp 00000000 fe:00 393217 " + file: 0x983000,
		"00d83000-01b22000 r--p 00983000 fe:00 393217 " + file: 0xD9F000,
		"01b22000-01ba0000 rw-p 01722000 fe:00 393217 " + file: 0,
		"00400000-00d83000 r-xp 00000000 fe:00 393218 /lib/c":  0,
		"c000000000-c000400000 rw-p 00000000 00:00 0":          0,
		"00d83000-00400000 r--p 00000000 fe:00 393217 " + file: 0,
		"zz-00400000 r--p 00000000 fe:00 393217 " + file:       0,
		"": 0,
	} {
		from, got, ok := readOnly(line, file)
		if got != size || ok != (size != 0) || (from != nil) != ok {
			t.Errorf("%q: %p, %x, %v", line, from, got, ok)
		}
	}
}

// The program goes on without its pages, and has some to give back.
func TestForgetStart(t *testing.T) {
	before := resident(t)
	forgetStart()
	if after := resident(t); after >= before {
		t.Errorf("%d pages of files before, %d after", before, after)
	}
}

// resident counts the pages of files that the process has (proc_pid_statm(5)).
func resident(t *testing.T) (shared int) {
	t.Helper()
	raw, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		t.Fatal(err)
	}
	var size, all int
	if _, err := fmt.Sscan(string(raw), &size, &all, &shared); err != nil {
		t.Fatal(err)
	}
	return shared
}
