//go:build e2e

package e2e_test

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	v1 "github.com/midplane-project/midplane/proto/midplane/v1"
)

// tally is the last line of midplane-guest loop.
type tally struct {
	Sent, OK, Failed, Lost, Writes int
	Codes                          map[string]int
	Rate                           float64
	MaxMS                          float64 `json:"max_ms"`
}

// loop is midplane-guest loop in a guest, with requests to the shelf manager
// outstanding all the time, reads and writes in turn.
type loop struct {
	*job
	s     *shelf
	node  string
	tag   string
	after uint64 // the log's last id before it began
	until time.Time
}

// loop starts one, and returns when its first record is in the log. It goes on until
// exact ends it, after so long at the soonest: however slow the machine, what happens
// in between happens to requests in flight.
func (s *shelf) loop(t *testing.T, node string, during time.Duration) *loop {
	t.Helper()
	l := &loop{s: s, node: node, tag: fmt.Sprintf("0x%08x", rand.Uint32()|1), after: s.lastID(t), until: time.Now().Add(during)}
	l.job = s.begin(t, node, "sh", "-c", "echo $$ >/run/loop"+l.tag+
		"; exec midplane-guest loop --target 0x20 --mix both --for 5m --tag "+l.tag)
	t.Cleanup(func() { s.atEnd(l.end()...) }) // after a failure
	l.more(t, 1)
	return l
}

// end is the command that lets it send no more.
func (l *loop) end() []string {
	return []string{"exec", l.node, "--timeout", "1m", "--", "sh", "-c", "kill $(cat /run/loop" + l.tag + ") && rm /run/loop" + l.tag}
}

// records gives how often each write's record is in the log, by serial number.
func (l *loop) records(entries []*v1.EventEntry) map[uint32]int {
	found := map[uint32]int{}
	for _, e := range entries {
		if tag, serial, ok := oem(e.Record); ok && tag == l.tag {
			found[serial]++
		}
	}
	return found
}

// more waits until the log has n more records than now.
func (l *loop) more(t *testing.T, n int) {
	t.Helper()
	l.s.more(t, n, l)
}

// more waits until the log has n more records of each loop than now. The log is
// read once for all of them: beside a replica that stands still that takes long.
func (s *shelf) more(t *testing.T, n int, loops ...*loop) {
	t.Helper()
	count := func() (all []int) {
		entries := s.log(t, loops[0].after)
		for _, l := range loops {
			all = append(all, len(l.records(entries)))
		}
		return all
	}
	have := count()
	eventually(t, patience, "the guests' requests are answered", func() error {
		now := count()
		for i := range loops {
			if now[i] < have[i]+n {
				return fmt.Errorf("%d records of %s after %d", now[i], loops[i].node, have[i])
			}
		}
		return nil
	})
}

// exact ends it. No request may have failed, and each write must be in the log
// exactly once.
func (l *loop) exact(t *testing.T) {
	t.Helper()
	time.Sleep(time.Until(l.until))
	l.s.do(t, l.end()...)
	r := l.wait()
	var got tally
	if err := json.Unmarshal([]byte(r.out), &got); err != nil {
		t.Fatalf("%s: %v: %s", l.node, err, r)
	}
	t.Logf("%s: %d requests, %.0f/s, %d writes, the slowest answer took %.0f ms", l.node, got.Sent, got.Rate, got.Writes, got.MaxMS)
	if got.Failed+got.Lost > 0 || r.code != 0 {
		t.Errorf("%s: %d failed, %d lost of %d: %v", l.node, got.Failed, got.Lost, got.Sent, got.Codes)
	}
	found := l.records(l.s.log(t, l.after))
	var missing, twice []int
	for serial := 1; serial <= got.Writes; serial++ {
		switch found[uint32(serial)] {
		case 0:
			missing = append(missing, serial)
		case 1:
		default:
			twice = append(twice, serial)
		}
	}
	if len(missing)+len(twice) > 0 {
		t.Errorf("%s: of %d writes %d are not in the log: %v; %d more than once: %v", l.node, got.Writes,
			len(missing), missing[:min(len(missing), 20)], len(twice), twice[:min(len(twice), 20)])
	}
	if slices.Contains([]int{got.Sent, got.Writes}, 0) {
		t.Errorf("%s: nothing was in flight", l.node)
	}
}
