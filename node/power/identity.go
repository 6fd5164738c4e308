package power

import (
	"encoding/json"
	"fmt"
	"os"
	"strconv"
	"strings"
)

// An identity names a process for good: pids come round again, but not with the same start time in the same boot.
type identity struct {
	PID    int    `json:"pid"`
	Start  uint64 `json:"start_ticks"` // clock ticks after boot
	BootID string `json:"boot_id"`
	UUID   string `json:"uuid"`
}

// identify reads a living process's identity.
func identify(pid int, uuid string) (identity, error) {
	start, err := startTicks(pid)
	if err != nil {
		return identity{}, err
	}
	boot, err := bootID()
	if err != nil {
		return identity{}, err
	}
	return identity{PID: pid, Start: start, BootID: boot, UUID: uuid}, nil
}

func bootID() (string, error) {
	id, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return "", fmt.Errorf("boot id: %w", err)
	}
	return strings.TrimSpace(string(id)), nil
}

func startTicks(pid int) (uint64, error) {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0, fmt.Errorf("process %d: %w", pid, err)
	}
	ticks, err := parseStartTicks(string(stat))
	if err != nil {
		return 0, fmt.Errorf("/proc/%d/stat: %w", pid, err)
	}
	return ticks, nil
}

// parseStartTicks takes field 22 of proc_pid_stat(5). Field 2, the name in parentheses, may itself
// hold blanks and parentheses, so fields are counted from its last closing one.
func parseStartTicks(stat string) (uint64, error) {
	_, rest, ok := cutLast(stat, ")")
	fields := strings.Fields(rest)
	const index = 22 - 3 // rest begins with field 3
	if !ok || len(fields) <= index {
		return 0, fmt.Errorf("unexpected form %q", stat)
	}
	return strconv.ParseUint(fields[index], 10, 64)
}

func cutLast(s, sep string) (before, after string, found bool) {
	i := strings.LastIndex(s, sep)
	if i < 0 {
		return s, "", false
	}
	return s[:i], s[i+len(sep):], true
}

// loadIdentity reads what an earlier owner saved; os.ErrNotExist if there is nothing.
func loadIdentity(path string) (identity, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return identity{}, err
	}
	var id identity
	if err := json.Unmarshal(data, &id); err != nil {
		return identity{}, fmt.Errorf("%s: %w", path, err)
	}
	return id, nil
}

// save replaces the file as a whole, so that a crash leaves the old or the new one.
func (id identity) save(path string) error {
	data, err := json.Marshal(id)
	if err != nil {
		return err
	}
	if err := os.WriteFile(path+".new", append(data, '\n'), 0o600); err != nil {
		return err
	}
	return os.Rename(path+".new", path)
}
