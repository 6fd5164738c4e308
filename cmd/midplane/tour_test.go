package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	v1 "github.com/midplane-project/midplane/proto/midplane/v1"
)

// fakeGuest answers the tour's commands in blade1 as the lab guest does.
type fakeGuest struct {
	log    *fakeLog
	killed chan struct{} // closed by midplane kill
	spoil  func(*loopTally, []*v1.EventEntry) []*v1.EventEntry
	ran    []string
}

func (g *fakeGuest) exec(_ context.Context, q *v1.ExecRequest) (out, mistake string, code, signal int32, err error) {
	switch line := strings.Join(q.Argv, " "); {
	case strings.HasSuffix(line, "event 1"):
		g.log.add(&v1.EventEntry{Source: 0x82, Speaker: v1.Speaker_SPEAKER_GUEST, Record: upperCritical, SelRecord: 1})
		return "Sending SAMPLE event\n", "", 0, 0, nil
	case strings.HasPrefix(line, "midplane-guest loop"):
		return g.loop(q.Argv), "", 0, 0, nil
	default:
		return "output of " + q.Argv[0] + "\n", "", 0, 0, nil
	}
}

// fakeWrites is what a guest on a busy machine brings about.
const fakeWrites = 40

// loop adds records before and after the leader is killed.
func (g *fakeGuest) loop(argv []string) string {
	tag, err := strconv.ParseUint(argv[len(argv)-1], 0, 32)
	if err != nil {
		return err.Error()
	}
	var all []*v1.EventEntry
	for serial := range uint32(fakeWrites) {
		record := []byte{0, 0, 0xE0, 'M', 'P'}
		record = binary.BigEndian.AppendUint32(record, uint32(tag))
		record = binary.BigEndian.AppendUint32(record, serial+1)
		all = append(all, &v1.EventEntry{Source: 0x82, Speaker: v1.Speaker_SPEAKER_GUEST, Record: append(record, 0, 0, 0)})
	}
	said := loopTally{Sent: 2 * fakeWrites, OK: 2 * fakeWrites, Writes: fakeWrites, Rate: 1000, MaxMS: 345}
	if g.spoil != nil {
		all = g.spoil(&said, all)
	}
	g.log.add(all[:loopRecords]...)
	<-g.killed
	g.log.add(all[loopRecords:]...)
	return fmt.Sprintf(`{"sent":%d,"ok":%d,"failed":%d,"lost":%d,"writes":%d,"rate":%.1f,"max_ms":%.1f}`+"\n",
		said.Sent, said.OK, said.Failed, said.Lost, said.Writes, said.Rate, said.MaxMS)
}

// newTour makes a tour of a fake shelf, of which up, kill and start are fakes, too.
func newTour(t *testing.T, spoil func(*loopTally, []*v1.EventEntry) []*v1.EventEntry) (*tour, *bytes.Buffer, *fakeGuest) {
	t.Helper()
	s := newFakeShelf(t)
	s.whole()
	g := &fakeGuest{log: s.replicas["shm2"].log, killed: make(chan struct{}), spoil: spoil}
	for _, n := range s.nodes {
		n.exec = g.exec
	}
	out := &bytes.Buffer{}
	a := &app{in: strings.NewReader(""), out: out, err: out}
	do := func(ctx context.Context, sub *app, args []string) int {
		verb := slices.DeleteFunc(slices.Clone(args), func(s string) bool { return s == "--shelf" || s == "demo" })
		switch verb[0] {
		case "up", "start":
			g.ran = append(g.ran, strings.Join(verb, " "))
			return 0
		case "kill":
			s.stop("shm1")
			fmt.Fprintln(sub.out, "shm1 is killed")
			close(g.killed)
			return 0
		}
		return sub.execute(ctx, args)
	}
	return &tour{app: a, do: do, enter: bufio.NewReader(a.in), start: time.Now()}, out, g
}

func TestTour(t *testing.T) {
	tour, out, g := newTour(t, nil)
	if err := tour.take(t.Context()); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	for _, part := range []string{
		"$ midplane up\n", "$ midplane ps\nSLOT", "$ midplane exec blade1 -- ipmitool mc info\noutput of ipmitool\n",
		"$ midplane exec blade1 -- ipmitool -b 0 -t 0x84 mc info\n", "$ midplane exec blade2 -- ipmitool -b 0 -t 0x82 mc info\n",
		"$ midplane exec blade1 -- ipmitool -b 0 -t 0x20 mc info\n", "$ midplane sel shelf -n 2\nID ",
		"$ midplane exec blade1 -- midplane-guest send --target 0x84 --lun 2 0x30 0x01 1 2 3\n", "$ midplane exec blade2 -- cat /tmp/respond\n",
		"$ midplane kill leader\nshm1 is killed\n", "requests       80, 1000 per second; 40 add a record", "failed         0\n",
		"failover gap   345 ms", "40 records exactly once, 0 missing, 0 more than once", "$ midplane start shm1\n", "$ midplane cluster\nNAME",
		"midplane console blade1", "midplane raw 0x84 6 1",
	} {
		if !strings.Contains(out.String(), part) {
			t.Errorf("the tour lacks %q", part)
		}
	}
	if t.Failed() {
		t.Log(out)
	}
	if want := []string{"up", "start shm1"}; !slices.Equal(g.ran, want) {
		t.Errorf("ran %q, want %q", g.ran, want)
	}
}

// The tour fails when the loss of the leader costs anything.
func TestTourFails(t *testing.T) {
	for name, c := range map[string]struct {
		spoil func(*loopTally, []*v1.EventEntry) []*v1.EventEntry
		want  string
	}{
		"a request failed": {func(s *loopTally, all []*v1.EventEntry) []*v1.EventEntry {
			s.Failed, s.OK = 1, s.OK-1
			return all
		}, "1 requests failed and 0 had no answer"},
		"no answer": {func(s *loopTally, all []*v1.EventEntry) []*v1.EventEntry {
			s.Lost = 2
			return all
		}, "0 requests failed and 2 had no answer"},
		"twice": {func(_ *loopTally, all []*v1.EventEntry) []*v1.EventEntry {
			return append(all, &v1.EventEntry{Source: 0x82, Record: all[7].Record})
		}, "0 are missing, 1 are there more than once and 0 were never sent"},
		"never sent": {func(s *loopTally, all []*v1.EventEntry) []*v1.EventEntry {
			s.Writes--
			return all
		}, "0 are missing, 0 are there more than once and 1 were never sent"},
	} {
		t.Run(name, func(t *testing.T) {
			tour, out, _ := newTour(t, c.spoil)
			err := tour.take(t.Context())
			if err == nil || !strings.Contains(err.Error(), "part 7") || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%v\n%s", err, out)
			}
			if code := codeOf(err); code != 1 {
				t.Errorf("exit code %d", code)
			}
		})
	}
}

func TestJudge(t *testing.T) {
	for _, c := range []struct {
		said  loopTally
		found map[uint32]int
		want  verdict
	}{
		{loopTally{Writes: 3}, map[uint32]int{1: 1, 2: 1, 3: 1}, verdict{once: 3}},
		{loopTally{Writes: 3}, map[uint32]int{1: 1, 3: 1}, verdict{once: 2, missing: 1}},
		{loopTally{Writes: 3, Unsure: []uint32{2}}, map[uint32]int{1: 1, 3: 1}, verdict{once: 2}},
		{loopTally{Writes: 3, Unsure: []uint32{2}}, map[uint32]int{1: 1, 2: 2, 3: 1}, verdict{once: 2, twice: 1}},
		{loopTally{Writes: 1}, map[uint32]int{1: 1, 9: 1}, verdict{once: 1, strange: 1}},
	} {
		if got := (&recordCount{found: c.found}).judge(c.said); got != c.want {
			t.Errorf("%+v %v: %+v, want %+v", c.said, c.found, got, c.want)
		}
	}
}

// A tour stops at the first command that fails, and --step waits for Enter.
func TestTourStops(t *testing.T) {
	tour, out, _ := newTour(t, nil)
	tour.step, tour.enter = true, bufio.NewReader(strings.NewReader("\n"))
	tour.do = func(ctx context.Context, sub *app, args []string) int {
		if slices.Contains(args, "exec") {
			fmt.Fprintln(sub.err, "no agent")
			return 125
		}
		return 0
	}
	err := tour.take(t.Context())
	if err == nil || !strings.Contains(err.Error(), "part 2, A BMC of its own: midplane exec blade1 -- ipmitool mc info: exit code 125") {
		t.Errorf("%v", err)
	}
	if !strings.Contains(out.String(), "[Enter] \n== 2.") || !strings.Contains(out.String(), "no agent") {
		t.Errorf("%s", out)
	}
}
