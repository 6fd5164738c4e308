package kv_test

import (
	"bufio"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/midplane-project/midplane/internal/kv"
)

func logTo(w io.Writer) *slog.Logger { return slog.New(slog.NewTextHandler(w, nil)) }

// reopen opens a file as the next process does, until the test ends.
func reopen(t *testing.T, path string) *kv.DB {
	t.Helper()
	db := openLate(t, path, &disk{})
	t.Cleanup(func() { _ = db.Close() })
	return db
}

// envVictim has the test binary be a process that is to be killed: the path of
// its file.
const envVictim = "MIDPLANE_KV_VICTIM"

func TestMain(m *testing.M) {
	if path := os.Getenv(envVictim); path != "" {
		victim(path)
	}
	os.Exit(m.Run())
}

// victim counts up in a delayed file and says each number that was taken.
func victim(path string) {
	db, err := kv.OpenWith(path, kv.Options{Delayed: true})
	for i := 0; err == nil; i++ {
		if err = do(db, "b", fmt.Sprintf("%08d=%d", i, i), "last="+strconv.Itoa(i)); err == nil {
			_, err = fmt.Println(i)
		}
	}
	fmt.Fprintln(os.Stderr, err)
	os.Exit(1)
}

// TestSIGKILL kills a real process: nothing that it was told is taken is lost.
func TestSIGKILL(t *testing.T) {
	for round, after := range []int{1, 40, 300, 1000} {
		path := filepath.Join(t.TempDir(), "x.db")
		said := killAfter(t, path, after)
		db := reopen(t, path)
		kept := len(all(t, db, "b", "0")) - 1
		v, err := get(db, "last")
		if last, _ := strconv.Atoi(string(v)); err != nil || kept < said+1 || last != kept-1 {
			t.Errorf("round %d: said %d, kept %d, last %q: %v", round, said, kept, v, err)
		}
	}
}

// killAfter lets a victim count to n and kills it, and gives the last number
// that it said.
func killAfter(t *testing.T, path string, n int) (said int) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), os.Args[0])
	cmd.Env = append(os.Environ(), envVictim+"="+path)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		if said, err = strconv.Atoi(strings.TrimSpace(lines.Text())); err != nil {
			t.Fatal(err)
		}
		if said == n {
			_ = cmd.Process.Kill()
		}
	}
	_ = cmd.Wait() // killed
	if said < n {
		t.Fatalf("it came to %d", said)
	}
	return said
}

// BenchmarkLate is what an answer costs while real fsyncs are under way.
func BenchmarkLate(b *testing.B) {
	db, err := kv.OpenWith(filepath.Join(b.TempDir(), "x.db"), kv.Options{Delayed: true})
	if err != nil {
		b.Fatal(err)
	}
	defer db.Close()
	var longest time.Duration
	for i := 0; b.Loop(); i++ {
		start := time.Now()
		if err := do(db, "b", fmt.Sprintf("%d=%d", i%4096, i)); err != nil {
			b.Fatal(err)
		}
		longest = max(longest, time.Since(start))
	}
	b.ReportMetric(float64(longest.Microseconds()), "µs-longest")
}
