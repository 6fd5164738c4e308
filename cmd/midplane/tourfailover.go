package main

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"github.com/midplane-project/midplane/internal/problem"
)

const (
	loopTime = "4s"
	// loopRecords is how many records are in the log before the leader is killed:
	// few, so that a busy machine's guest has them before loopTime is over.
	loopRecords = 20
	loopLimit   = 60 * time.Second
	settleLimit = 10 * time.Second
)

// loopTally is what the guest's program prints at its end.
type loopTally struct {
	Sent   int64            `json:"sent"`
	OK     int64            `json:"ok"`
	Failed int64            `json:"failed"`
	Lost   int64            `json:"lost"`
	Writes uint32           `json:"writes"` // serials 1 to Writes were sent
	Codes  map[string]int64 `json:"codes"`
	Unsure []uint32         `json:"unsure"`
	Rate   float64          `json:"rate"`
	MaxMS  float64          `json:"max_ms"`
}

func showFailover(t *tour, ctx context.Context) error {
	if t.lab.Compact {
		fmt.Fprintln(t.out, "Not here: this shelf is compact, and one process has all the replicas.")
		return nil
	}
	log, err := openTourLog(ctx, t)
	if err != nil {
		return err
	}
	defer log.close()
	records := newRecordCount(rand.Uint32())
	log.take = records.take
	killed, text, err := t.killUnderLoad(ctx, log, records)
	if err != nil {
		return err
	}
	var said loopTally
	if err := json.Unmarshal([]byte(lastLine(text)), &said); err != nil {
		return fmt.Errorf("the loop printed no tally: %w", err)
	}
	acknowledged := int(said.Writes) - len(said.Unsure)
	_ = log.await(settleLimit, nil, func() bool { return len(records.found) >= acknowledged }) // what is missing then is counted
	if err := log.settle(ctx, settleLimit); err != nil {
		return err
	}
	verdict := records.judge(said)
	fmt.Fprintf(t.out, "\n%s\n", verdict.text(said))
	if err := verdict.err(said); err != nil {
		return err
	}
	if _, err := t.run(ctx, "start", killed); err != nil {
		return err
	}
	if err := log.open.caughtUp(ctx); err != nil {
		return err
	}
	_, err = t.run(ctx, "cluster")
	return err
}

// caughtUp waits until every replica has what the leader had committed.
func (rs replicas) caughtUp(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, settleLimit)
	defer cancel()
	var committed uint64
	for {
		v, err := rs.members(ctx)
		if err == nil {
			committed = max(committed, v.committed())
			if committed > 0 && !slices.ContainsFunc(v.Members, func(m memberView) bool { return m.Applied < committed }) {
				return nil
			}
		}
		select {
		case <-ctx.Done():
			return errors.New("the replica that was killed has not caught up")
		case <-time.After(leaderPause):
		}
	}
}

// committed is how far the leader is, 0 without one.
func (v *clusterView) committed() uint64 {
	for _, m := range v.Members {
		if m.Role == roleLeader {
			return m.Commit
		}
	}
	return 0
}

// killUnderLoad runs the loop in a guest and kills the leader in the middle.
func (t *tour) killUnderLoad(ctx context.Context, log *tourLog, records *recordCount) (killed, tally string, err error) {
	loop := []string{
		"exec", t.one.Name, "--", "midplane-guest", "loop", "--target", "0x20", "--mix", "both",
		"--for", loopTime, "--tag", fmt.Sprintf("0x%08x", records.tag),
	}
	ended := make(chan struct{})
	var text string // of the goroutine until ended is closed, like failed
	var failed error
	t.prompt(loop)
	go func() {
		defer close(ended)
		text, failed = t.runQuietly(ctx, io.Discard, loop...)
	}()
	over := func() bool {
		select {
		case <-ended:
			return true
		default:
			return false
		}
	}
	err = log.await(settleLimit, ended, func() bool { return len(records.found) >= loopRecords || over() })
	if err == nil && !over() {
		var said string
		said, err = t.run(ctx, "kill", "leader")
		killed, _, _ = strings.Cut(said, " ")
	}
	waited := log.await(loopLimit, ended, over)
	if waited != nil {
		return killed, "", errors.Join(err, waited)
	}
	fmt.Fprint(t.out, text)
	switch {
	case err != nil:
		return killed, "", err
	case text == "": // otherwise the tally says what failed
		return killed, "", failed
	case killed == "":
		return "", "", errors.New("the loop ended before the leader was killed")
	}
	return killed, text, nil
}

func lastLine(s string) string {
	lines := strings.Split(strings.TrimSpace(s), "\n")
	return lines[len(lines)-1]
}

// recordCount counts how often each record of one loop is in the log.
//
//	00 00  E0  'M' 'P'  tag (4, high byte first)  serial (4, the same)  00 00 00
type recordCount struct {
	tag   uint32
	found map[uint32]int // by serial
}

func newRecordCount(tag uint32) *recordCount {
	return &recordCount{tag: max(tag, 1), found: make(map[uint32]int)}
}

func (c *recordCount) take(e eventView) {
	b := e.record.OEM
	if e.record.Type == 0xE0 && b[0] == 'M' && b[1] == 'P' && binary.BigEndian.Uint32(b[2:]) == c.tag {
		c.found[binary.BigEndian.Uint32(b[6:])]++
	}
}

// verdict compares what the guest was told with what is in the log.
type verdict struct {
	once, missing, twice, strange int
}

func (c *recordCount) judge(said loopTally) verdict {
	var v verdict
	for serial, n := range c.found {
		switch {
		case serial == 0 || serial > said.Writes:
			v.strange++
		case n == 1:
			v.once++
		default:
			v.twice++
		}
	}
	for serial := uint32(1); serial <= said.Writes; serial++ {
		if c.found[serial] == 0 && !slices.Contains(said.Unsure, serial) {
			v.missing++
		}
	}
	return v
}

func (v verdict) text(said loopTally) string {
	return fmt.Sprintf(`requests       %d, %.0f per second; %d add a record to the shelf's log
failed         %d
failover gap   %.0f ms, the longest wait for an answer
in the log     %d records exactly once, %d missing, %d more than once
`, said.Sent, said.Rate, said.Writes, said.Failed+said.Lost, said.MaxMS, v.once, v.missing, v.twice)
}

func (v verdict) err(said loopTally) error {
	switch {
	case said.Failed+said.Lost > 0:
		return &problem.Error{
			Code: problem.Failed, What: fmt.Sprintf("%d requests failed and %d had no answer", said.Failed, said.Lost),
			Why: fmt.Errorf("completion codes %v", said.Codes),
		}
	case v.missing+v.twice+v.strange > 0:
		return &problem.Error{
			Code: problem.Failed,
			What: fmt.Sprintf("of the acknowledged records %d are missing, %d are there more than once and %d were never sent", v.missing, v.twice, v.strange),
		}
	}
	return nil
}
