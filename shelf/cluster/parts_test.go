package cluster

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
)

// TestVerifierNeverUsesAnOldQuestion: a caller that comes while a question is
// being asked waits for the next one, which all such callers share.
func TestVerifierNeverUsesAnOldQuestion(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		var began []time.Time
		v := verifier{verify: func() error {
			mu.Lock()
			began = append(began, time.Now())
			mu.Unlock()
			time.Sleep(10 * time.Millisecond)
			return nil
		}}
		var wg sync.WaitGroup
		for i := range 100 {
			time.Sleep(time.Duration(i%3) * time.Millisecond)
			called := time.Now()
			wg.Go(func() {
				if err := v.wait(t.Context()); err != nil {
					t.Error(err)
				}
				answered := time.Now()
				mu.Lock()
				defer mu.Unlock()
				for _, b := range began {
					if !b.Before(called) && !b.Add(10*time.Millisecond).After(answered) {
						return
					}
				}
				t.Errorf("called at %v, answered at %v, but no question lies between", called, answered)
			})
		}
		wg.Wait()
		if len(began) > 13 {
			t.Errorf("%d questions for 100 callers in 99 ms", len(began))
		}
	})
}

func TestVerifierPassesTheAnswerToAll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		bad := errors.New("not the leader")
		v := verifier{verify: func() error { time.Sleep(time.Second); return bad }}
		var wg sync.WaitGroup
		for range 10 {
			wg.Go(func() {
				if err := v.wait(t.Context()); !errors.Is(err, bad) {
					t.Errorf("got %v", err)
				}
			})
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
		defer cancel()
		if err := v.wait(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("a caller that gave up got %v", err)
		}
		wg.Wait()
		synctest.Wait()
	})
}

func TestChangeQueue(t *testing.T) {
	win := func(term uint64) Leadership { return Leadership{Leader: true, Term: term} }
	loss := func(term uint64) Leadership { return Leadership{Term: term} }
	for name, tc := range map[string]struct {
		do   func(q *changeQueue)
		want []Leadership
	}{
		"nothing was won":              {func(q *changeQueue) { q.lost(1) }, nil},
		"a win":                        {func(q *changeQueue) { q.won(1) }, []Leadership{win(1)}},
		"a win lost before it is read": {func(q *changeQueue) { q.won(1); q.lost(2) }, []Leadership{}},
		"a win that was read, lost":    {func(q *changeQueue) { q.won(1); q.pop(); q.lost(2) }, []Leadership{loss(2)}},
		"lost and won again": {
			func(q *changeQueue) { q.won(1); q.pop(); q.lost(2); q.won(3) },
			[]Leadership{loss(2), win(3)},
		},
		"lost, won and lost": {
			func(q *changeQueue) {
				q.won(1)
				q.pop()
				q.lost(2)
				q.won(3)
				q.lost(4)
				q.lost(4)
			},
			[]Leadership{loss(2)},
		},
	} {
		var q changeQueue
		tc.do(&q)
		if d := cmp.Diff(tc.want, q.pending); d != "" {
			t.Errorf("%s: %s", name, d)
		}
	}
}

func TestHello(t *testing.T) {
	want := hello{clusterID: "c", nodeID: "shm1"}
	got, err := readHello(bytes.NewReader(want.append(nil)))
	if got != want || err != nil {
		t.Errorf("%+v, %v", got, err)
	}
}

func FuzzHello(f *testing.F) {
	f.Add(hello{clusterID: "6f1c", nodeID: "shm1"}.append(nil))
	f.Add([]byte("GET / HTTP/1.1\r\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		h, err := readHello(bytes.NewReader(b))
		if err == nil && !bytes.HasPrefix(b, h.append(nil)) {
			t.Fatalf("%x read as %+v", b, h)
		}
	})
}

func FuzzReadBackup(f *testing.F) {
	f.Add([]byte(backupMagic + `{"size":3,"crc32c":0}` + "\nabc"))
	f.Fuzz(func(t *testing.T, b []byte) {
		info, state, err := readBackup(bytes.NewReader(b))
		if err == nil && int64(len(state)) != info.Size {
			t.Fatalf("%d bytes of state, the header says %d", len(state), info.Size)
		}
	})
}

func TestRaftLinesComeOneLevelLower(t *testing.T) {
	var out strings.Builder
	l := newRaftLogger(slog.New(slog.NewTextHandler(&out, nil))).Named("x").With("peer", "shm2")
	l.Info("quiet")
	l.Warn("entering candidate state")
	l.Error("failed to contact", "error", "timeout")
	got := out.String()
	for _, part := range []string{`level=INFO msg="entering candidate state"`, `level=WARN msg="failed to contact"`, "peer=shm2", "part=x"} {
		if !strings.Contains(got, part) {
			t.Errorf("no %s in:\n%s", part, got)
		}
	}
	if strings.Contains(got, "quiet") || l.IsInfo() || !l.IsWarn() {
		t.Errorf("raft's information is not debugging:\n%s", got)
	}
}

func TestProfileByName(t *testing.T) {
	for name, want := range map[string]Profile{"lan": LAN, "lab": Lab} {
		if got, err := ProfileByName(name); got != want || err != nil {
			t.Errorf("%s: %+v, %v", name, got, err)
		}
	}
	if _, err := ProfileByName("wan"); err == nil {
		t.Error("an unknown profile has a value")
	}
}
