package proc

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// start starts a child and, if it says so, waits until it is ready.
func start(t *testing.T, how string, more ...string) (p *Process, argv []string) {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	log := filepath.Join(t.TempDir(), "log")
	argv = append([]string{exe, how}, more...)
	p, err = Start(argv, log)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		p.Signal(syscall.SIGKILL)
		<-p.Done()
		p.Close()
	})
	until(t, func() bool {
		data, err := os.ReadFile(log)
		return err == nil && bytes.HasSuffix(data, []byte("\n"))
	})
	return p, argv
}

// until waits for what nobody tells.
func until(t *testing.T, done func() bool) {
	t.Helper()
	for !done() {
		select {
		case <-t.Context().Done():
			t.Fatal("it did not come")
		case <-time.After(5 * time.Millisecond):
		}
	}
}

func TestStartIsASessionOfItsOwn(t *testing.T) {
	p, argv := start(t, "obey", "a b", "")
	sid, err := syscall.Getpgid(p.ID.PID)
	if err != nil || sid != p.ID.PID {
		t.Errorf("process group %d of process %d, %v", sid, p.ID.PID, err)
	}
	if got := Args(p.ID.PID); !Same(argv)(got) {
		t.Errorf("command line %q, want %q", got, argv)
	}
	if id, err := Identify(p.ID.PID); err != nil || id != p.ID {
		t.Errorf("identity %v, %v, want %v", id, err, p.ID)
	}
}

func TestExitIsTold(t *testing.T) {
	p, _ := start(t, "fail")
	<-p.Done()
	if p.Exit() != "exit status 7" {
		t.Errorf("%q", p.Exit())
	}
	if _, err := Open(p.ID); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("opened what has ended: %v", err)
	}
	if err := p.Signal(syscall.SIGTERM); err != nil {
		t.Errorf("signal to what has ended: %v", err)
	}
}

func TestOpenRefusesAnotherProcessWithThePid(t *testing.T) {
	p, _ := start(t, "obey")
	for _, id := range []ID{
		{p.ID.PID, p.ID.Start + 1, p.ID.Boot},
		{p.ID.PID, p.ID.Start, "another boot"},
		{0, p.ID.Start, p.ID.Boot},
		{-1, p.ID.Start, p.ID.Boot},
	} {
		if _, err := Open(id); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%v: %v", id, err)
		}
	}
}

func TestStop(t *testing.T) {
	obeys, _ := start(t, "obey")
	stands, _ := start(t, "obey")
	ignores, _ := start(t, "ignore")
	if err := stands.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	until(t, func() bool { return Stopped(stands.ID.PID) })

	gone := ID{PID: obeys.ID.PID, Start: obeys.ID.Start + 1, Boot: obeys.ID.Boot}
	killed, err := Stop(t.Context(), []ID{obeys.ID, gone, stands.ID}, time.Minute)
	if err != nil || killed != 0 {
		t.Errorf("%d killed, %v: want none, a stopped one must be able to obey", killed, err)
	}
	killed, err = Stop(t.Context(), []ID{ignores.ID}, 50*time.Millisecond)
	if err != nil || killed != 1 {
		t.Errorf("%d killed, %v: want the one that does not listen", killed, err)
	}
	for _, p := range []*Process{obeys, stands, ignores} {
		<-p.Done()
	}
}

func TestStopWithoutPatience(t *testing.T) {
	p, _ := start(t, "ignore")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if killed, err := Stop(ctx, []ID{p.ID}, time.Hour); err != nil || killed != 1 {
		t.Errorf("%d killed, %v", killed, err)
	}
}

func TestFind(t *testing.T) {
	mark := t.TempDir()
	p, _ := start(t, "obey", "--config", mark)
	for name, tt := range map[string]struct {
		match func([]string) bool
		want  int
	}{
		"option":        {Option("--config", mark), 1},
		"other value":   {Option("--config", mark+"x"), 0},
		"other option":  {Option("--state", mark), 0},
		"prefix by eye": {func(argv []string) bool { return strings.HasPrefix(argv[len(argv)-1], mark) }, 1},
	} {
		ids, err := Find(tt.match)
		if err != nil || len(ids) != tt.want || tt.want == 1 && ids[0] != p.ID {
			t.Errorf("%s: %v, %v", name, ids, err)
		}
	}
}

func TestParseStat(t *testing.T) {
	rest := " 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 4711 20"
	for _, tt := range []struct {
		name, stat string
		state      byte
		ok         bool
	}{
		{"plain", "12 (midplane) S" + rest, 'S', true},
		{"name with a parenthesis", "12 (a) Z (b) T" + rest, 'T', true},
		{"short", "12 (midplane) S 1 2 3", 0, false},
		{"empty", "", 0, false},
	} {
		state, start, err := parseStat([]byte(tt.stat))
		if (err == nil) != tt.ok || tt.ok && (state != tt.state || start != 4711) {
			t.Errorf("%s: %c, %d, %v", tt.name, state, start, err)
		}
	}
}

func FuzzParseStat(f *testing.F) {
	f.Add([]byte("12 (midplane) S 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 4711 20"))
	f.Add([]byte(")"))
	f.Fuzz(func(t *testing.T, data []byte) { _, _, _ = parseStat(data) })
}

func TestTheStarterLearnsHowItEnded(t *testing.T) {
	for range 20 {
		p, _ := start(t, "obey")
		other, err := Open(p.ID)
		if err != nil {
			t.Fatal(err)
		}
		if err := other.Signal(syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
		<-other.Done()
		<-p.Done()
		if p.Exit() != "signal SIGKILL" || other.Exit() != "ended" {
			t.Errorf("the starter knows %q, another %q", p.Exit(), other.Exit())
		}
		other.Close()
	}
}

// A child that ends before anybody could look at it has an identity and an exit
// status as any other; on a busy machine that is most of those that fail.
func TestStartOfWhatEndsAtOnce(t *testing.T) {
	child, err := os.StartProcess("/bin/false", []string{"/bin/false"}, &os.ProcAttr{})
	if err != nil {
		t.Fatal(err)
	}
	until(t, func() bool {
		state, _, err := stat(child.Pid)
		return err == nil && state == 'Z'
	})
	if _, err := Identify(child.Pid); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a corpse is identified: %v", err)
	}
	if _, err := open(child.Pid, false); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("somebody else's corpse is held: %v", err)
	}
	p, err := open(child.Pid, true)
	if err != nil {
		t.Fatal(err)
	}
	_ = child.Release()
	<-p.Done()
	if p.ID.Start == 0 || p.Exit() != "exit status 1" {
		t.Errorf("%+v, %s", p.ID, p.Exit())
	}
	p.Close()
	for range 200 {
		p, err := Start([]string{"/bin/false"}, filepath.Join(t.TempDir(), "log"))
		if err != nil {
			t.Fatal(err)
		}
		<-p.Done()
		if p.Exit() != "exit status 1" {
			t.Error(p.Exit())
		}
		p.Close()
	}
}
