//go:build e2e

package e2e_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"

	"github.com/midplane-project/midplane/ipmb/sel"
	v1 "github.com/midplane-project/midplane/proto/midplane/v1"
)

// inFlight is how long the guests keep requests in flight around a fault at least. A
// guest gives up on a request after five tries, within ten seconds.
const inFlight = 10 * time.Second

// fault is something that happens to processes, and what mends it.
type fault struct {
	name  string
	begin func(t *testing.T, s *shelf) (undo [][]string)
	dark  bool // nothing can be answered until it is mended
}

var faults = []fault{
	{name: "leader killed", begin: func(t *testing.T, s *shelf) [][]string {
		old := s.leader(t)
		s.do(t, "kill", "leader")
		s.otherLeader(t, old)
		return [][]string{{"start", old}}
	}},
	{name: "leader stopped and continued", begin: func(t *testing.T, s *shelf) [][]string {
		old := s.leader(t)
		s.do(t, "stop", "leader")
		s.otherLeader(t, old)
		return [][]string{{"resume", old}}
	}},
	{name: "follower killed", begin: func(t *testing.T, s *shelf) [][]string {
		f := s.follower(t)
		s.do(t, "kill", f)
		return [][]string{{"start", f}}
	}},
	{name: "follower stopped and continued", begin: func(t *testing.T, s *shelf) [][]string {
		f := s.follower(t)
		s.do(t, "stop", f)
		return [][]string{{"resume", f}}
	}},
	{name: "all replicas stopped and continued", dark: true, begin: func(t *testing.T, s *shelf) [][]string {
		return s.each(t, "stop", "resume")
	}},
	{name: "all replicas killed and started", dark: true, begin: func(t *testing.T, s *shelf) [][]string {
		return s.each(t, "kill", "start")
	}},
	{name: "node stopped and continued", dark: true, begin: func(t *testing.T, s *shelf) [][]string {
		s.do(t, "stop", "node/blade1")
		return [][]string{{"resume", "node/blade1"}}
	}},
}

// each does one thing to every replica, and returns what undoes it.
func (s *shelf) each(t *testing.T, verb, undo string) (all [][]string) {
	t.Helper()
	for _, e := range s.ReplicaAPIs() {
		s.do(t, verb, e.Name)
		all = append(all, []string{undo, e.Name})
	}
	return all
}

// TestFailover does to processes what may happen to them, with requests of both
// guests in flight. No request may fail, and no write be lost or doubled.
func TestFailover(t *testing.T) {
	s := blades.up(t)
	for _, f := range faults {
		t.Run(f.name, func(t *testing.T) {
			loops := []*loop{s.loop(t, "blade1", inFlight), s.loop(t, "blade2", inFlight)}
			undo := f.begin(t, s)
			t.Cleanup(func() {
				for _, args := range undo {
					s.atEnd(args...)
				}
			})
			if !f.dark {
				s.more(t, 10, loops...)
			}
			for _, args := range undo {
				s.do(t, args...)
			}
			s.more(t, 10, loops...)
			for _, l := range loops {
				l.exact(t)
			}
			s.healthy(t)
		})
	}
	for _, b := range sides {
		s.kernelLog(t, b.name)
	}
}

// TestStoppedLeaderSaysNothingOld asks a leader that stands still. When it goes
// on it has been replaced, and must not answer from what it knew.
func TestStoppedLeaderSaysNothingOld(t *testing.T) {
	s := bare.up(t)
	for range 5 {
		s.healthy(t)
		old := s.leader(t)
		conn, err := s.replica(old).Dial()
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		if n := logged(t, conn, s.Name); n < 0 { // and the connection is there: what is asked below waits in it
			t.Fatalf("%s does not answer", old)
		}
		entries := len(s.log(t, 0))
		s.do(t, "stop", old)
		t.Cleanup(func() { s.atEnd("resume", old) })
		s.otherLeader(t, old)
		answer := make(chan int, 1)
		go func() { answer <- logged(t, conn, s.Name) }()
		s.do(t, "raw", "shelf", "0x0a", "0x44", "0", "0", "0xe0", "0x4d", "0x50", "7", "7", "7", "7", "0", "0", "0", "1", "0", "0", "0")
		s.do(t, "resume", old)
		if n := <-answer; n >= 0 && n <= entries {
			t.Errorf("%s answers as if nothing had happened: %d entries, and there were %d before", old, n, entries)
		}
	}
}

// logged is how many entries the log at 0x20 has, as a replica tells; -1 if it does not.
func logged(t *testing.T, conn *grpc.ClientConn, shelf string) int {
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	r, err := v1.NewShelfClient(conn).Raw(ctx, &v1.RawRequest{Shelf: shelf, Address: 0x20, NetFn: 0x0a, Command: 0x40})
	if err != nil || r.CompletionCode != 0 || len(r.Data) < 3 {
		return -1
	}
	return int(r.Data[1]) | int(r.Data[2])<<8 // Get SEL Info: version, entries
}

// otherLeader waits until somebody else leads.
func (s *shelf) otherLeader(t *testing.T, old string) {
	t.Helper()
	eventually(t, patience, "another replica leads", func() error {
		now, err := s.Leader(t.Context())
		if err == nil && now == old {
			err = errors.New("still " + old)
		}
		return err
	})
}

// TestAllReplicasKilled takes the whole shelf manager away. What it had
// acknowledged is there when it is back, and so is what happened meanwhile.
func TestAllReplicasKilled(t *testing.T) {
	s := blades.up(t)
	s.one(t, "blade1", "midplane-guest loop --target 0x20 --mix write --count 200")
	before := s.log(t, 0)
	for _, e := range s.ReplicaAPIs() {
		s.kill(t, e.Name)
	}
	s.expect(t, "blade1", []says{
		{"ipmitool mc info", 0, `IPMI Version`}, // a node without a shelf is still a BMC
		{"ipmitool event 1", 0, ``},
	})
	if st := s.node(t, "blade1"); st.OutboxPending == 0 {
		t.Error("no event waits for the shelf")
	}
	for _, e := range s.ReplicaAPIs() {
		s.do(t, "start", e.Name)
	}
	s.healthy(t)
	s.expect(t, "blade1", []says{{"ipmitool -b 0 -t 0x20 mc info", 0, `SDR Repository`}})
	eventually(t, patience, "the event that waited is told", func() error {
		if st := s.node(t, "blade1"); st.OutboxPending > 0 {
			return fmt.Errorf("%d wait", st.OutboxPending)
		}
		return nil
	})
	// The log is bounded, so its oldest entries may have gone meanwhile.
	last := before[len(before)-1].Id
	kept := map[uint64]*v1.EventEntry{}
	for _, e := range before {
		kept[e.Id] = e
	}
	var added int
	for _, e := range s.log(t, 0) {
		old := kept[e.Id]
		switch {
		case e.Id > last && e.Record[10] == byte(sel.SensorIPMBLink): // what the nodes tell of their links is no part of this
		case e.Id > last:
			added++
		case old == nil:
			t.Fatalf("entry %v was not there before", e)
		default:
			e.SelRecord, old.SelRecord = 0, 0 // the SEL is a window that moves on
			if !proto.Equal(old, e) {
				t.Fatalf("entry %v has become %v", old, e)
			}
		}
	}
	if added != 1 {
		t.Fatalf("%d entries more after one event", added)
	}
}
