package power

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

var noon = time.Date(2026, 1, 2, 12, 0, 0, 0, time.UTC)

func openLog(t *testing.T, path string, limit int64, older int) *consoleLog {
	t.Helper()
	l, err := openConsoleLog(path, limit, older)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.close() })
	return l
}

// pieces reads all of a past: each piece after its time, in seconds since noon.
func pieces(t *testing.T, l *consoleLog, since time.Time) string {
	t.Helper()
	p, err := l.past(since)
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	var out []string
	for {
		piece, err := p.next()
		if errors.Is(err, io.EOF) {
			return strings.Join(out, " ")
		}
		if err != nil {
			t.Fatal(err)
		}
		at := "?"
		if !piece.at.IsZero() {
			at = fmt.Sprint(piece.at.Sub(noon).Seconds())
		}
		out = append(out, at+":"+string(piece.data))
	}
}

func TestConsoleLogHasTimes(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	l := openLog(t, path, 12, 2)
	for i, s := range []string{"one", "two", "three", "four", "five"} {
		check(t, l.write([]byte(s), noon.Add(time.Duration(i)*time.Second)))
		check(t, l.write([]byte("!"), noon.Add(time.Duration(i)*time.Second+stampEvery/2)))
	}
	want := "0:one! 1:two! 2:three! 3:four! 4:five!"
	if got := pieces(t, l, time.Time{}); got != want {
		t.Errorf("%s, want %s", got, want)
	}
	for since, want := range map[float64]string{0: want, 0.5: "1:two! 2:three! 3:four! 4:five!", 3: "3:four! 4:five!", 99: ""} {
		if got := pieces(t, l, noon.Add(time.Duration(since*float64(time.Second)))); got != want {
			t.Errorf("since %v: %s, want %s", since, got, want)
		}
	}
	check(t, l.close())

	// Another process goes on, after a loss of power that tore a time.
	torn, err := os.OpenFile(path+timesFile, os.O_APPEND|os.O_WRONLY, 0)
	check(t, err)
	_, err = torn.Write([]byte{1, 2, 3})
	check(t, errors.Join(err, torn.Close()))
	l = openLog(t, path, 12, 2)
	check(t, l.write([]byte("6"), noon.Add(6*time.Second)))
	if got, want := pieces(t, l, noon.Add(3*time.Second)), "3:four! 4:five! 6:6"; got != want {
		t.Errorf("%s, want %s", got, want)
	}
}

// A log of before there were times is shown without.
func TestConsoleLogWithoutTimes(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	check(t, os.WriteFile(path, []byte("old"), 0o600))
	l := openLog(t, path, 100, 2)
	check(t, l.write([]byte("new"), noon))
	if got, want := pieces(t, l, time.Time{}), "?:old 0:new"; got != want {
		t.Errorf("%s, want %s", got, want)
	}
	if got, want := pieces(t, l, noon), "0:new"; got != want {
		t.Errorf("%s, want %s", got, want)
	}
}

// Neither file grows without bound, whatever the rhythm is.
func TestConsoleLogTimesAreBounded(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	l := openLog(t, path, 1000, 1)
	for i := range 1000 {
		check(t, l.write([]byte{'x'}, noon.Add(time.Duration(i)*time.Second)))
	}
	files, err := filepath.Glob(path + "*")
	if err != nil || len(files) != 4 {
		t.Fatalf("%q, %v", files, err)
	}
	for _, f := range files {
		if info, err := os.Stat(f); err != nil || info.Size() > 1000/stampShare+stampLen {
			t.Errorf("%s: %v, %v", f, info.Size(), err)
		}
	}
}

func FuzzStamps(f *testing.F) {
	f.Add(bytes.Repeat([]byte{0, 0, 1, 2, 3, 4, 5, 6, 0, 0, 0, 0, 0, 0, 0, 9}, 2), int64(10))
	f.Fuzz(func(t *testing.T, raw []byte, size int64) {
		last := int64(-1)
		for _, s := range parseStamps(raw, size) {
			if s.offset <= last || s.offset >= size {
				t.Fatalf("offset %d after %d of %d", s.offset, last, size)
			}
			last = s.offset
		}
	})
}

// A log that cannot be turned over loses what comes meanwhile, and no older log; nor is that said each time.
func TestConsoleLogCannotTurnOver(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	l := openLog(t, path, 4, 2)
	for i, s := range []string{"aaaa", "bbbb", "cccc"} {
		check(t, l.write([]byte(s), noon.Add(time.Duration(i)*time.Second)))
	}
	var limit syscall.Rlimit
	check(t, syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit))
	none := limit
	none.Cur = 0 // the files move, but none can be opened
	check(t, syscall.Setrlimit(syscall.RLIMIT_NOFILE, &none))
	var said bytes.Buffer
	c := &Console{log: l, cfg: ConsoleConfig{Logger: slog.New(slog.NewTextHandler(&said, nil))}}
	for range 5 {
		c.enter([]byte("lost"))
	}
	check(t, syscall.Setrlimit(syscall.RLIMIT_NOFILE, &limit))
	for range 2 {
		c.enter([]byte("d"))
	}
	if got := pieces(t, l, time.Time{}); !strings.HasPrefix(got, "1:bbbb 2:cccc ") || !strings.HasSuffix(got, ":dd") {
		t.Error(got)
	}
	if got := said.String(); strings.Count(got, "\n") != 2 || !strings.Contains(got, "not being logged") || !strings.Contains(got, "lost_bytes=20") {
		t.Error(got)
	}
}

// A disk that is full when a time is noted does not put those that follow out of place.
func TestConsoleLogOnFullDisk(t *testing.T) {
	l := openLog(t, filepath.Join(t.TempDir(), "log"), 100, 1)
	good := l.times
	full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
	check(t, err)
	defer full.Close()
	l.times = full
	if err := l.write([]byte("lost"), noon); !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("%v", err)
	}
	l.times = good
	check(t, l.write([]byte("one"), noon.Add(time.Millisecond)))
	if got, want := pieces(t, l, time.Time{}), "0.001:one"; got != want {
		t.Errorf("%s, want %s", got, want)
	}
}
