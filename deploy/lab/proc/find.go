package proc

import (
	"bytes"
	"fmt"
	"os"
	"slices"
	"strconv"
	"syscall"
)

// Args is a process's command line, nil when it has ended.
func Args(pid int) []string {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
	if err != nil || len(data) == 0 {
		return nil
	}
	var argv []string
	for arg := range bytes.SplitSeq(bytes.TrimSuffix(data, []byte{0}), []byte{0}) {
		argv = append(argv, string(arg))
	}
	return argv
}

// Find gives this user's processes whose command line match accepts. Those that
// end meanwhile are left out.
func Find(match func(argv []string) bool) ([]ID, error) {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return nil, err
	}
	var found []ID
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil || pid == os.Getpid() || !ours(e) {
			continue
		}
		if argv := Args(pid); argv == nil || !match(argv) {
			continue
		}
		if id, err := Identify(pid); err == nil {
			found = append(found, id)
		}
	}
	return found, nil
}

func ours(e os.DirEntry) bool {
	info, err := e.Info()
	if err != nil {
		return false
	}
	owner, ok := info.Sys().(*syscall.Stat_t)
	return ok && int(owner.Uid) == os.Getuid()
}

// Same matches one command line exactly.
func Same(argv []string) func([]string) bool {
	return func(other []string) bool { return slices.Equal(argv, other) }
}

// Option matches command lines in which a word is followed by value.
func Option(word, value string) func([]string) bool {
	return func(argv []string) bool {
		i := slices.Index(argv, word)
		return i >= 0 && i+1 < len(argv) && argv[i+1] == value
	}
}
