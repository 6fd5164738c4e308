//go:build e2e

package e2e_test

import (
	"bufio"
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// lanSession is one session of a client's, with many commands in it.
type lanSession struct {
	cmd    *exec.Cmd
	errors bytes.Buffer

	mu    sync.Mutex
	lines []string
	ended chan error
}

// session runs a file of commands in one session of ipmitool's. Flags go before.
func (s *lanShelf) session(t *testing.T, name string, commands []string, flags ...string) *lanSession {
	t.Helper()
	s.write(t, name, []byte(strings.Join(commands, "\n")+"\n"))
	return startSession(t, s.client(append(flags, "exec", filepath.Join(s.dir, name))...)...)
}

func (s *lanShelf) write(t *testing.T, name string, data []byte) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(s.dir, name), data, 0o600); err != nil {
		t.Fatal(err)
	}
}

// freeipmiSession does the same with FreeIPMI.
func (s *lanShelf) freeipmiSession(t *testing.T, name string, commands []string) *lanSession {
	t.Helper()
	text := strings.ReplaceAll(strings.Join(commands, "\n")+"\n", "raw ", "0 ")
	s.write(t, name, []byte(text))
	conf, err := s.FreeIPMI(s.door)
	if err != nil {
		t.Fatal(err)
	}
	return startSession(t, "ipmi-raw", "--config-file", conf, "-h", s.door.Address.String(), "--file="+filepath.Join(s.dir, name))
}

// startSession starts a client whose lines come as it writes them.
func startSession(t *testing.T, command ...string) *lanSession {
	t.Helper()
	l := &lanSession{cmd: exec.Command("stdbuf", append([]string{"-oL"}, command...)...), ended: make(chan error, 1)}
	l.cmd.Stderr = &l.errors
	out, err := l.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := l.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		for r := bufio.NewScanner(out); r.Scan(); {
			l.mu.Lock()
			l.lines = append(l.lines, r.Text())
			l.mu.Unlock()
		}
		l.ended <- l.cmd.Wait()
	}()
	return l
}

func (l *lanSession) answers() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return append([]string(nil), l.lines...)
}

// more waits until the session has had n more answers. It looks often, for a
// session that is not disturbed is soon over.
func (l *lanSession) more(t *testing.T, n int) {
	t.Helper()
	want := len(l.answers()) + n
	for end := time.Now().Add(30 * time.Second); len(l.answers()) < want; time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("%d of %d answers, %s", len(l.answers()), want, l.errors.String())
		}
	}
}

// whole checks that every command was answered.
func (l *lanSession) whole(t *testing.T, n int) {
	t.Helper()
	err := <-l.ended
	if got := len(l.answers()); err != nil || got != n {
		t.Errorf("%d of %d answers, %v\n%s\n%s", got, n, err, lastLines(strings.Join(l.answers(), "\n"), 5), l.errors.String())
	}
}

// Each adds a record to a log: one that is done twice shows.
func addRecords(n int, mark byte) (list []string) {
	for i := range n {
		list = append(list, fmt.Sprintf("raw 0x0a 0x44 0 0 0xe0 %d 0x4d 0x50 %d 7 7 7 0 0 0 1 %d %d", mark, mark, i>>8, i&0xFF))
	}
	return list
}

// records counts the records in a controller's log, by their mark and content.
func (s *lanShelf) records(t *testing.T, flags ...string) map[byte]map[string]int {
	t.Helper()
	file := filepath.Join(s.dir, "sel")
	if out, err := s.ipmitool(t, append(flags, "sel", "writeraw", file)...); err != nil {
		t.Fatal(err, out)
	}
	raw, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	count := make(map[byte]map[string]int)
	for ; len(raw) >= 16; raw = raw[16:] {
		if mark := raw[6]; raw[2] == 0xE0 {
			if count[mark] == nil {
				count[mark] = make(map[string]int)
			}
			count[mark][string(raw[14:16])]++
		}
	}
	return count
}

// logins is a client that logs in again and again to ask the board.
type logins struct {
	stop  chan struct{}
	group sync.WaitGroup
	done  atomic.Int32
}

// many starts ipmitool, manyFree FreeIPMI. They may not fail: a login goes on with
// the next leader, and one of RMCP+ that cannot ipmitool begins anew (FreeIPMI does not).
func (s *lanShelf) many(t *testing.T, flags ...string) *logins {
	return manyOf(t, s.client(append(flags, "-t", "0x82", "-b", "0", "raw", "6", "1")...))
}

func (s *lanShelf) manyFree(t *testing.T) *logins {
	conf, err := s.FreeIPMI(s.door)
	if err != nil {
		t.Fatal(err)
	}
	return manyOf(t, []string{"ipmi-raw", "--config-file", conf, "-h", s.door.Address.String(), "0", "6", "1"})
}

func manyOf(t *testing.T, command []string) *logins {
	l := &logins{stop: make(chan struct{})}
	l.group.Go(func() {
		for {
			select {
			case <-l.stop:
				return
			default:
			}
			if out, err := exec.CommandContext(t.Context(), command[0], command[1:]...).CombinedOutput(); err != nil {
				t.Errorf("log in and ask, %v: %v\n%s", command, err, out)
			}
			l.done.Add(1)
		}
	})
	return l
}

// more waits until it has been through n more times.
func (l *logins) more(t *testing.T, n int32) {
	t.Helper()
	want := l.done.Load() + n
	eventually(t, time.Minute, "a client logs in", func() error {
		if have := l.done.Load(); have < want {
			return fmt.Errorf("%d of %d times", have, want)
		}
		return nil
	})
}

func (l *logins) end() {
	close(l.stop)
	l.group.Wait()
}

// TestShelfLANSessionSurvives does to processes what may happen to them in the
// middle of five sessions, three with 0x20 and two with a board behind it, of RMCP+
// and of IPMI 1.5, while clients log in by either. Each goes
// on to its end by what the client itself does, and nothing that a client repeats
// is done twice.
func TestShelfLANSessionSurvives(t *testing.T) {
	s := upLAN(t)
	for i, f := range []struct {
		name       string
		starts     bool // the leader anew
		hit, after func(leader string)
	}{
		{"leader killed", true, func(old string) { s.kill(t, old) }, func(old string) {
			s.otherLeader(t, old)
			s.do(t, "start", old)
		}},
		{"leader stopped and continued", false, func(old string) {
			s.do(t, "stop", old)
			t.Cleanup(func() { s.atEnd("resume", old) })
		}, func(old string) {
			s.otherLeader(t, old)
			s.do(t, "resume", old)
		}},
		{"front killed", false, func(string) { s.kill(t, "front") }, func(string) { s.do(t, "start", "front") }},
	} {
		t.Run(f.name, func(t *testing.T) {
			const n, v15 = 90, 0x40 // ipmi-raw takes 100 at most
			mark := byte(2*i + 1)
			loops := []*logins{s.many(t), s.many(t, "-I", "lan"), s.manyFree(t)}
			for _, l := range loops {
				defer l.end()
				l.more(t, 1)
			}
			old := s.leader(t)
			warned := s.warnings(t, old)
			all := []*lanSession{
				s.session(t, "board", addRecords(n, mark), "-t", "0x82", "-b", "0"),
				s.session(t, "own", addRecords(n, mark)),
				s.freeipmiSession(t, "free", addRecords(n, mark+1)),
				s.session(t, "board15", addRecords(n, mark|v15), "-I", "lan", "-t", "0x82", "-b", "0"),
				s.session(t, "own15", addRecords(n, mark|v15), "-I", "lan"),
			}
			for _, one := range all {
				one.more(t, 1)
			}
			f.hit(old)
			for _, one := range all {
				if len(one.answers()) == n {
					t.Fatal("a session was over before anything happened")
				}
			}
			f.after(old)
			for _, l := range loops {
				l.more(t, 2)
			}
			if again := s.warnings(t, old); f.starts && again != warned+2 {
				t.Errorf("%s warned %d times after it was started again, and %d before", old, again, warned)
			}
			for _, one := range all {
				one.whole(t, n)
			}
			own, board := s.records(t), s.records(t, "-t", "0x82", "-b", "0")
			for where, log := range map[string]struct {
				log  map[byte]map[string]int
				mark byte
			}{
				"0x20": {own, mark}, "0x20 by FreeIPMI": {own, mark + 1}, "0x20 by IPMI 1.5": {own, mark | v15},
				"0x82": {board, mark}, "0x82 by IPMI 1.5": {board, mark | v15},
			} {
				have := log.log[log.mark]
				if len(have) != n {
					t.Errorf("%s has %d records of %d", where, len(have), n)
				}
				for k, times := range have {
					if times != 1 && log.mark != mark+1 { // FreeIPMI repeats under another number: that is a new request

						t.Errorf("%s has record % x %d times", where, k, times)
					}
				}
			}
		})
	}
}
