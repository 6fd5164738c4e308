package thermal

import (
	"bytes"
	"fmt"
	"os"
	"strconv"
	"time"
)

// ticksPerSecond is the unit of times in /proc/PID/stat on every Linux that
// programs see (USER_HZ, proc(5)).
const ticksPerSecond = 100

// Meter measures how much of its processors' time a process takes. The zero
// Meter is ready.
type Meter struct {
	pid  int
	used time.Duration
	at   time.Time
}

// Read gives the share of cpus processors that the process took since the last
// Read, 0 to 1. ok is false the first time that a process is read.
func (m *Meter) Read(pid, cpus int, now time.Time) (share float64, ok bool, err error) {
	used, err := cpuTime(pid)
	if err != nil {
		m.pid = 0
		return 0, false, err
	}
	share, ok = m.Note(pid, used, cpus, now)
	return share, ok, nil
}

// Note is Read for one who knows what the process has used; pid is any number
// that a new process changes, or less use does.
func (m *Meter) Note(pid int, used time.Duration, cpus int, now time.Time) (share float64, ok bool) {
	passed, took := now.Sub(m.at), used-m.used
	ok = m.pid == pid && !m.at.IsZero() && passed > 0 && took >= 0
	m.pid, m.used, m.at = pid, used, now
	if !ok {
		return 0, false
	}
	return clamp(took.Seconds() / passed.Seconds() / float64(max(cpus, 1))), true
}

// cpuTime is the processor time of all threads of a process.
func cpuTime(pid int) (time.Duration, error) {
	path := fmt.Sprintf("/proc/%d/stat", pid)
	text, err := os.ReadFile(path)
	if err != nil {
		return 0, err
	}
	ticks, ok := parseStat(text)
	if !ok {
		return 0, fmt.Errorf("%s: cannot be read: %q", path, text)
	}
	return time.Duration(ticks) * time.Second / ticksPerSecond, nil
}

// parseStat gives utime and stime, the 14th and 15th field of /proc/PID/stat.
// The second may have anything in it, and ends at the last parenthesis.
func parseStat(text []byte) (ticks uint64, ok bool) {
	const utime, stime, behindName = 14, 15, 3
	fields := bytes.Fields(text[bytes.LastIndexByte(text, ')')+1:])
	if len(fields) <= stime-behindName {
		return 0, false
	}
	for _, f := range fields[utime-behindName : stime-behindName+1] {
		n, err := strconv.ParseUint(string(f), 10, 62)
		if err != nil {
			return 0, false
		}
		ticks += n
	}
	return ticks, true
}
