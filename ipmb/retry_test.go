package ipmb_test

import (
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/midplane-project/midplane/ipmb"
)

var (
	addSEL = []byte("Add SEL Entry, always the same")
	getID  = []byte("Get Device ID")
	epoch  = time.Unix(1_700_000_000, 0)
	linux  = ipmb.Requestor{Target: 0x20, Source: 0x82, LUN: ipmb.LUNSMS}
)

func at(d time.Duration) time.Time { return epoch.Add(d) }

// Linux goes round its 64 numbers: 200 equal requests are 200 requests.
func TestRetryFilterTellsEqualRequestsApart(t *testing.T) {
	for _, targets := range [][]ipmb.Addr{{0x20}, {0x20, 0x84}, {0x20, 0x84, 0x86, 0x88}} {
		var f ipmb.RetryFilter
		for i := range 200 {
			who, now := linux, at(time.Duration(i)*time.Millisecond)
			who.Target = targets[i%len(targets)]
			if f.Seen(who, uint8(i%64), addSEL, now) {
				t.Fatalf("%d targets: request %d was taken for a retry", len(targets), i)
			}
			f.Done(who, uint8(i%64), now)
		}
	}
}

// The ring stands before a number when its late answer is fetched: a repeat of
// it is a retry, until half a ring was sent.
func TestRetryFilterKnowsAStepForward(t *testing.T) {
	for _, c := range []struct {
		others int
		retry  bool
	}{{0, true}, {32, true}, {33, false}, {63, false}} {
		var f ipmb.RetryFilter
		f.Seen(linux, 5, addSEL, at(0))
		for i := range 62 {
			f.Seen(linux, uint8((6+i)%64), addSEL, at(0))
		}
		f.Done(linux, 5, at(time.Second))
		for i := range c.others { // the last is the number before
			who := linux
			who.Target = 0x84
			f.Seen(who, uint8((5+64-c.others+i)%64), addSEL, at(time.Second))
		}
		if got := f.Seen(linux, 5, addSEL, at(time.Second)); got != c.retry {
			t.Errorf("after %d others: retry is %v", c.others, got)
		}
	}
}

func TestRetryFilter(t *testing.T) {
	type step struct {
		do    string // "new", "retry", "done" or "forget"
		who   ipmb.Requestor
		seq   uint8
		key   []byte
		after time.Duration
	}
	other := linux
	other.Source = 0x84
	for _, c := range []struct {
		name  string
		steps []step
	}{
		{"a pending number is retried", []step{
			{"new", linux, 5, addSEL, 0}, {"retry", linux, 5, addSEL, time.Second}, {"retry", linux, 5, addSEL, 9 * time.Second},
		}},
		{"though all the others were used", []step{
			{"new", linux, 5, addSEL, 0},
			{"new", linux, 6, addSEL, 0},
			{"done", linux, 6, nil, 0},
			{"new", linux, 37, addSEL, 0},
			{"new", linux, 4, addSEL, 0},
			{"retry", linux, 5, addSEL, time.Second},
		}},
		{"not for ever", []step{
			{"new", linux, 5, addSEL, 0}, {"new", linux, 5, addSEL, ipmb.RetryWindow},
		}},
		{"other bytes are another request", []step{
			{"new", linux, 5, addSEL, 0}, {"new", linux, 5, getID, 0}, {"retry", linux, 5, getID, 0},
		}},
		{"another requester, another request", []step{
			{"new", linux, 5, addSEL, 0}, {"new", other, 5, addSEL, 0}, {"retry", linux, 5, addSEL, 0},
		}},
		{"another target, another request", []step{
			{"new", linux, 5, addSEL, 0}, {"new", ipmb.Requestor{Target: 0x84, Source: 0x82, LUN: ipmb.LUNSMS}, 5, addSEL, 0},
		}},
		{"what was answered before a retry could come is new", []step{
			{"new", linux, 5, addSEL, 0}, {"new", linux, 6, addSEL, 0}, {"done", linux, 5, nil, ipmb.EarliestRetry / 2}, {"new", linux, 5, addSEL, 2 * time.Second},
		}},
		{"a retry crosses the answer", []step{
			{"new", linux, 5, addSEL, 0}, {"done", linux, 5, nil, time.Second}, {"retry", linux, 5, addSEL, time.Second},
		}},
		{"and newer requests", []step{
			{"new", linux, 5, addSEL, 0},
			{"new", linux, 6, addSEL, 0},
			{"new", linux, 7, getID, 0},
			{"done", linux, 5, nil, time.Second},
			{"done", linux, 7, nil, time.Second},
			{"new", linux, 8, addSEL, time.Second},
			{"retry", linux, 5, addSEL, time.Second},
		}},
		{"and waits for long in the driver's queue", []step{
			{"new", linux, 5, addSEL, 0}, {"done", linux, 5, nil, time.Second}, {"retry", linux, 5, addSEL, 5 * time.Second},
		}},
		{"a retry crosses the answer though the ring went on meanwhile", []step{
			{"new", linux, 5, addSEL, 0},
			{"new", linux, 36, addSEL, 0},
			{"new", linux, 3, addSEL, 0},
			{"new", linux, 4, addSEL, 0},
			{"done", linux, 5, nil, time.Second},
			{"retry", linux, 5, addSEL, time.Second},
			{"new", linux, 6, addSEL, time.Second},
			{"retry", linux, 5, addSEL, time.Second},
		}},
		{"long after the answer it is new", []step{
			{"new", linux, 5, addSEL, 0}, {"done", linux, 5, nil, 0}, {"new", linux, 5, addSEL, ipmb.CrossingWindow},
		}},
		{"a number that Linux skipped is no retry of the next", []step{
			{"new", linux, 6, addSEL, 0}, {"done", linux, 6, nil, 0}, {"new", linux, 4, getID, 0}, {"new", linux, 6, addSEL, 0},
		}},
		{"a request that failed is forgotten", []step{
			{"new", linux, 5, addSEL, 0},
			{"forget", linux, 5, addSEL, time.Second},
			{"new", linux, 5, addSEL, time.Second},
			{"retry", linux, 5, addSEL, 2 * time.Second},
		}},
		{"but not the one that came after it", []step{
			{"new", linux, 5, addSEL, 0},
			{"new", linux, 5, getID, time.Second},
			{"forget", linux, 5, addSEL, time.Second},
			{"retry", linux, 5, getID, time.Second},
		}},
		{"nor what is not known", []step{
			{"forget", linux, 5, addSEL, 0}, {"new", linux, 6, addSEL, 0}, {"forget", linux, 5, addSEL, 0}, {"retry", linux, 6, addSEL, 0},
		}},
		{"done for an unknown number", []step{
			{"done", linux, 9, nil, 0}, {"new", linux, 9, addSEL, 0}, {"done", linux, 10, nil, 0}, {"retry", linux, 9, addSEL, 0},
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			var f ipmb.RetryFilter
			for i, s := range c.steps {
				if s.do == "done" {
					f.Done(s.who, s.seq, at(s.after))
				} else if s.do == "forget" {
					f.Forget(s.who, s.seq, s.key)
				} else if retry := f.Seen(s.who, s.seq, s.key, at(s.after)); retry != (s.do == "retry") {
					t.Fatalf("step %d: retry is %v", i, retry)
				}
			}
		})
	}
}

// linuxDriver draws numbers as ipmi_msghandler.c does: round one ring for all
// targets, past those in use. With many requests in flight one may leave
// after others that drew their numbers later, but not after a third of the ring.
type linuxDriver struct {
	next    uint8
	drawn   int // ring positions so far, with those skipped
	heard   int // requests taken for new
	flight  []*flight
	crossed []*flight // fetched, while a repeat of them may be on its way
}

type flight struct {
	who     ipmb.Requestor
	seq     uint8
	key     []byte
	at      int // ring position
	waiting bool
	first   time.Duration // when it was sent, or heard at last
	fetched time.Duration
	rested  int // linuxDriver.heard then

	repeated bool // after it was fetched
	mistaken bool // taken for a crossing retry of the number's earlier use, so not heard
}

func (d *linuxDriver) draw() uint8 {
	for {
		n, used := d.next, false
		d.next = (d.next + 1) % 64
		d.drawn++
		for _, f := range d.flight {
			used = used || f.seq == n
		}
		if !used {
			return n
		}
	}
}

// pick draws one of the flights that ok holds for.
func pick(t *rapid.T, from []*flight, ok func(*flight) bool) *flight {
	var of []*flight
	for _, f := range from {
		if ok(f) {
			of = append(of, f)
		}
	}
	if len(of) == 0 {
		t.Skip()
	}
	return of[rapid.IntRange(0, len(of)-1).Draw(t, "flight")]
}

func without(list []*flight, f *flight) []*flight {
	return slices.DeleteFunc(list, func(g *flight) bool { return g == f })
}

// A model of Linux with up to 16 requests in flight: no new request is taken
// for a retry, also one that others have overtaken; and each retry is known,
// also one that crosses its answer, however long that took and until half a ring
// of others was sent after it.
func TestRetryFilterFollowsLinux(t *testing.T) {
	const inFlight, crossing, overtaken, again = 16, 32, 20, time.Second
	rapid.Check(t, func(t *rapid.T) {
		var filter ipmb.RetryFilter
		var d linuxDriver
		var now time.Duration
		draw := func(t *rapid.T) *flight {
			stuck := func(f *flight) bool { return f.waiting && d.drawn-f.at > overtaken }
			if len(d.flight) == inFlight || slices.ContainsFunc(d.flight, stuck) {
				t.Skip()
			}
			f := &flight{who: linux, seq: d.draw(), at: d.drawn, waiting: true}
			f.who.Target = rapid.SampledFrom([]ipmb.Addr{0x20, 0x84, 0x86}).Draw(t, "target")
			f.key = rapid.SampledFrom([][]byte{addSEL, getID}).Draw(t, "key")
			d.flight = append(d.flight, f)
			return f
		}
		send := func(t *rapid.T, f *flight) {
			late := false
			for _, g := range d.crossed {
				late = late || g.who == f.who && g.seq == f.seq && now-g.fetched < ipmb.CrossingWindow
				g.repeated = g.repeated || g.seq == f.seq // it would have left before its number was drawn again
			}
			f.waiting, f.first = false, now
			f.mistaken = filter.Seen(f.who, f.seq, f.key, at(now))
			if !f.mistaken {
				d.heard++
			} else if !late {
				t.Fatalf("new request under %d taken for a retry", f.seq)
			}
		}
		fetch := func(f *flight) {
			filter.Done(f.who, f.seq, at(now))
			f.fetched, f.rested = now, d.heard
			d.flight = without(d.flight, f)
			if now-f.first >= ipmb.EarliestRetry {
				d.crossed = append(d.crossed, f)
			}
		}
		sent := func(f *flight) bool { return !f.waiting }
		t.Repeat(map[string]func(*rapid.T){
			"draw": func(t *rapid.T) { draw(t) },
			"send": func(t *rapid.T) { send(t, pick(t, d.flight, func(f *flight) bool { return f.waiting })) },
			"burst": func(t *rapid.T) { // fast threads, whose requests are answered at once
				for range rapid.IntRange(1, 70).Draw(t, "n") {
					f := draw(t)
					if send(t, f); !f.mistaken {
						fetch(f)
					}
				}
			},
			"fetch": func(t *rapid.T) { fetch(pick(t, d.flight, func(f *flight) bool { return sent(f) && !f.mistaken })) },
			"retry": func(t *rapid.T) {
				f := pick(t, d.flight, func(f *flight) bool {
					return sent(f) && now-f.first >= again && now-f.first < ipmb.RetryWindow
				})
				if seen := filter.Seen(f.who, f.seq, f.key, at(now)); !seen && !f.mistaken {
					t.Fatalf("retry under %d taken for new", f.seq)
				} else if !seen {
					f.mistaken, f.first = false, now // heard, and not repeated again so soon
					d.heard++
				} else if f.mistaken && now-f.first >= ipmb.CrossingWindow {
					t.Fatalf("request under %d is not heard", f.seq)
				}
			},
			"crossing": func(t *rapid.T) {
				f := pick(t, d.crossed, func(f *flight) bool {
					return !f.repeated && d.heard-f.rested <= crossing && now-f.fetched < ipmb.CrossingWindow
				})
				f.repeated = true
				if !filter.Seen(f.who, f.seq, f.key, at(now)) {
					t.Fatalf("crossing retry under %d taken for new", f.seq)
				}
			},
			"wait": func(t *rapid.T) {
				now += time.Duration(rapid.IntRange(1, 1500).Draw(t, "ms")) * time.Millisecond
				d.flight = slices.DeleteFunc(d.flight, func(f *flight) bool {
					return sent(f) && now-f.first >= ipmb.RetryWindow // the driver gives up
				})
			},
		})
	})
}
