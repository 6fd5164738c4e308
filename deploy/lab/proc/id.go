package proc

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strconv"
	"strings"
	"sync"
	"syscall"
)

// ID names a process for good.
type ID struct {
	PID   int    `json:"pid"`
	Start uint64 `json:"start_ticks"` // clock ticks after boot
	Boot  string `json:"boot_id"`
}

// Identify reads the identity of a living process. The error is fs.ErrNotExist
// when there is none, or only its corpse.
func Identify(pid int) (ID, error) {
	id, ended, err := identify(pid)
	if err == nil && ended {
		err = gone(pid)
	}
	if err != nil {
		return ID{}, err
	}
	return id, nil
}

// identify is Identify for a corpse, too.
func identify(pid int) (id ID, ended bool, err error) {
	state, start, err := stat(pid)
	if err != nil {
		return ID{}, false, err
	}
	boot, err := bootID()
	return ID{PID: pid, Start: start, Boot: boot}, state == 'Z' || state == 'X', err
}

func gone(pid int) error { return fmt.Errorf("process %d has ended: %w", pid, fs.ErrNotExist) }

// Stopped reports whether a process stands still after SIGSTOP.
func Stopped(pid int) bool {
	state, _, err := stat(pid)
	return err == nil && (state == 'T' || state == 't')
}

var bootID = sync.OnceValues(func() (string, error) {
	id, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return "", fmt.Errorf("boot id: %w", err)
	}
	return strings.TrimSpace(string(id)), nil
})

// stat reads state and start time (fields 3 and 22 of proc_pid_stat(5)). Field
// 2, the name, may hold blanks and parentheses: fields count from its last one.
func stat(pid int) (state byte, start uint64, err error) {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if errors.Is(err, syscall.ESRCH) {
		err = fmt.Errorf("process %d: %w", pid, fs.ErrNotExist)
	}
	if err != nil {
		return 0, 0, err
	}
	return parseStat(data)
}

func parseStat(data []byte) (state byte, start uint64, err error) {
	const stateField, startField = 0, 22 - 3
	fields := bytes.Fields(data[bytes.LastIndexByte(data, ')')+1:])
	if len(fields) <= startField || len(fields[stateField]) != 1 {
		return 0, 0, fmt.Errorf("unexpected process status %.80q", data)
	}
	start, err = strconv.ParseUint(string(fields[startField]), 10, 64)
	return fields[stateField][0], start, err
}
