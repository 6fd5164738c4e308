package power

import (
	"encoding/json"
	"fmt"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/midplane-project/midplane/node/power/qmp/qmptest"
)

// fakeQEMU in the environment makes this test binary play QEMU: with "run" as a monitor at its -chardev's
// path, else dying at once with that text as its complaint.
const fakeQEMU = "POWER_TEST_FAKE_QEMU"

// What the fake QEMU's guest does when its process gets a signal.
const (
	guestPoweroff = syscall.SIGUSR1
	guestReboot   = syscall.SIGUSR2
)

func TestMain(m *testing.M) {
	if how := os.Getenv(fakeQEMU); how != "" {
		os.Exit(playQEMU(how, os.Args))
	}
	goleak.VerifyTestMain(m)
}

func playQEMU(how string, argv []string) int {
	if slices.Contains(argv, "--version") {
		fmt.Println("QEMU emulator version 7.2.22 (fake)")
		return 0
	}
	if how != "run" {
		fmt.Fprintln(os.Stderr, how)
		return 1
	}
	path := value(argv, "-chardev", "socket,id=qmp0,path=")
	os.Remove(path)
	s, err := qmptest.Listen(path, argv[slices.Index(argv, "-uuid")+1])
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer s.Close()
	s.Handle("human-monitor-command", bootSet)
	s.Guest()
	guest := make(chan os.Signal, 1)
	signal.Notify(guest, guestPoweroff, guestReboot)
	for {
		select {
		case <-s.Quit():
			return 0
		case what := <-guest:
			if what == guestPoweroff {
				s.GuestPoweroff()
			} else {
				s.GuestReboot()
			}
		}
	}
}

// bootSet is QEMU's boot_set, as a PC answers it.
func bootSet(arguments json.RawMessage) (any, error) {
	var line struct {
		Command string `json:"command-line"`
	}
	if err := json.Unmarshal(arguments, &line); err != nil {
		return nil, err
	}
	order := strings.TrimPrefix(line.Command, "boot_set ")
	if strings.Trim(order, "acdn") != "" {
		return "Error: Boot device order is invalid\r\n", nil
	}
	return "boot device list now set to " + order + "\r\n", nil
}

// value finds the option's value that begins with prefix and returns what follows up to the next comma.
func value(argv []string, option, prefix string) string {
	for i := range argv[:len(argv)-1] {
		if rest, ok := strings.CutPrefix(argv[i+1], prefix); ok && argv[i] == option {
			path, _, _ := strings.Cut(rest, ",")
			return path
		}
	}
	return ""
}

// shortDir is a temporary folder whose path leaves room for a socket's name.
func shortDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "vm")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

// await reads events until one of the kind comes.
func await(t *testing.T, s *Events, kind EventKind) Event {
	t.Helper()
	limit := time.After(time.Minute)
	for {
		select {
		case e, ok := <-s.C():
			if !ok {
				t.Fatalf("events ended before %q", kind)
			}
			if e.Kind == kind {
				return e
			}
		case <-limit:
			t.Fatalf("no %q", kind)
		}
	}
}
