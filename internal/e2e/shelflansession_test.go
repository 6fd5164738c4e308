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
	"testing"
	"time"
)

// lanSession is one session of ipmitool's, with many commands in it.
type lanSession struct {
	cmd    *exec.Cmd
	errors bytes.Buffer

	mu    sync.Mutex
	lines []string
	ended chan error
}

// session runs a file of commands in one session. Flags go before.
func (s *lanShelf) session(t *testing.T, name string, commands []string, flags ...string) *lanSession {
	t.Helper()
	file := filepath.Join(s.dir, name)
	if err := os.WriteFile(file, []byte(strings.Join(commands, "\n")+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	argv := s.client(append(flags, "exec", file)...)
	l := &lanSession{cmd: exec.Command(argv[0], argv[1:]...), ended: make(chan error, 1)}
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

// more waits until the session has had n more answers.
func (l *lanSession) more(t *testing.T, n int) {
	t.Helper()
	n += len(l.answers())
	eventually(t, 30*time.Second, "the session goes on", func() error {
		if have := len(l.answers()); have < n {
			return fmt.Errorf("%d of %d answers", have, n)
		}
		return nil
	})
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

// records counts the records of a mark in a controller's log, by their content.
func (s *lanShelf) records(t *testing.T, mark byte, flags ...string) map[string]int {
	t.Helper()
	file := filepath.Join(s.dir, "sel")
	if out, err := s.ipmitool(t, append(flags, "sel", "writeraw", file)...); err != nil {
		t.Fatal(err, out)
	}
	raw, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	count := make(map[string]int)
	for ; len(raw) >= 16; raw = raw[16:] {
		if raw[2] == 0xE0 && raw[6] == mark {
			count[string(raw[14:16])]++
		}
	}
	return count
}

// TestShelfLANSessionSurvives does to processes what may happen to them in the
// middle of two sessions, one with 0x20 and one with a board behind it. Each goes
// on to its end by what the client itself does, and nothing is done twice.
func TestShelfLANSessionSurvives(t *testing.T) {
	s := upLAN(t)
	for i, f := range []struct {
		name string
		do   func(leader string)
	}{
		{"leader killed", func(old string) {
			s.kill(t, old)
			s.otherLeader(t, old)
			s.do(t, "start", old)
		}},
		{"leader stopped and continued", func(old string) {
			s.do(t, "stop", old)
			t.Cleanup(func() { s.atEnd("resume", old) })
			s.otherLeader(t, old)
			s.do(t, "resume", old)
		}},
		{"front killed", func(string) {
			s.kill(t, "front")
			s.do(t, "start", "front")
		}},
	} {
		t.Run(f.name, func(t *testing.T) {
			const n = 150
			mark := byte(i + 1)
			own := s.session(t, "own", addRecords(n, mark))
			board := s.session(t, "board", addRecords(n, mark), "-t", "0x82", "-b", "0")
			own.more(t, 20)
			board.more(t, 20)
			f.do(s.leader(t))
			own.whole(t, n)
			board.whole(t, n)
			for where, flags := range map[string][]string{"0x20": nil, "0x82": {"-t", "0x82", "-b", "0"}} {
				have := s.records(t, mark, flags...)
				if len(have) != n {
					t.Errorf("%s has %d records of %d", where, len(have), n)
				}
				for k, times := range have {
					if times != 1 {
						t.Errorf("%s has record % x %d times", where, k, times)
					}
				}
			}
		})
	}
}
