package ipmb_test

import (
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
// targets, past those in use.
type linuxDriver struct {
	next   uint8
	drawn  int // ring positions so far, with those skipped
	flight []*flight
}

type flight struct {
	who      ipmb.Requestor
	seq      uint8
	key      []byte
	at       int // ring position
	sent     time.Duration
	answered bool // the controller has answered; the driver has not fetched it yet
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

// A model of Linux with up to 16 requests in flight: no new request is taken
// for a retry, and each retry is known, also those that cross their answer.
func TestRetryFilterFollowsLinux(t *testing.T) {
	const inFlight, crossing = 16, 20
	rapid.Check(t, func(t *rapid.T) {
		var filter ipmb.RetryFilter
		var d linuxDriver
		var now time.Duration
		pick := func(t *rapid.T) (*flight, int) {
			if len(d.flight) == 0 {
				t.Skip()
			}
			i := rapid.IntRange(0, len(d.flight)-1).Draw(t, "flight")
			return d.flight[i], i
		}
		request := func(t *rapid.T) {
			if len(d.flight) == inFlight {
				t.Skip()
			}
			f := &flight{who: linux, seq: d.draw(), at: d.drawn, sent: now}
			f.who.Target = rapid.SampledFrom([]ipmb.Addr{0x20, 0x84, 0x86}).Draw(t, "target")
			f.key = rapid.SampledFrom([][]byte{addSEL, getID}).Draw(t, "key")
			if filter.Seen(f.who, f.seq, f.key, at(now)) {
				t.Fatalf("new request under %d taken for a retry", f.seq)
			}
			d.flight = append(d.flight, f)
		}
		t.Repeat(map[string]func(*rapid.T){
			"request": request,
			"burst": func(t *rapid.T) { // fast threads, whose requests are answered at once
				for range rapid.IntRange(1, 70).Draw(t, "n") {
					request(t)
					f := d.flight[len(d.flight)-1]
					filter.Done(f.who, f.seq, at(now))
					d.flight = d.flight[:len(d.flight)-1]
				}
			},
			"answer": func(t *rapid.T) {
				f, _ := pick(t)
				f.answered, f.sent = true, now
				filter.Done(f.who, f.seq, at(now))
			},
			"fetch": func(t *rapid.T) {
				if f, i := pick(t); f.answered {
					d.flight = append(d.flight[:i], d.flight[i+1:]...)
				}
			},
			"retry": func(t *rapid.T) {
				f, _ := pick(t)
				if f.answered && (d.drawn-f.at > crossing || now-f.sent >= ipmb.CrossingWindow) || now-f.sent >= ipmb.RetryWindow {
					t.Skip()
				}
				if !filter.Seen(f.who, f.seq, f.key, at(now)) {
					t.Fatalf("retry under %d taken for new", f.seq)
				}
			},
			"wait": func(t *rapid.T) {
				now += time.Duration(rapid.IntRange(1, 1500).Draw(t, "ms")) * time.Millisecond
				d.flight = giveUp(&filter, d.flight, now)
			},
		})
	})
}

// giveUp drops what has waited too long, as the driver and the controller do.
func giveUp(filter *ipmb.RetryFilter, in []*flight, now time.Duration) (out []*flight) {
	for _, f := range in {
		if now-f.sent < ipmb.RetryWindow {
			out = append(out, f)
			continue
		}
		filter.Done(f.who, f.seq, at(now-ipmb.CrossingWindow))
	}
	return out
}
