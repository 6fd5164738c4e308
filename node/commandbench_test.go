package node

import (
	"cmp"
	"slices"
	"testing"
	"time"

	"github.com/midplane-project/midplane/internal/kv"
	"github.com/midplane-project/midplane/ipmb"
	"github.com/midplane-project/midplane/ipmb/mc"
)

// memoryBound is what a command of memory alone may take.
const memoryBound = 50 * time.Microsecond

// beyondMemory are the rows without effect that nevertheless go to the disk or
// the bus, or take what is read away.
var beyondMemory = []string{"Get Self Test Results", "Set BMC Global Enables", "Send Message", "Get Message", "Read Event Message Buffer"}

// furnish gives the controller as much as it may well hold: a log that is
// almost full, many records, and what the byte table sets up.
func (b *board) furnish() {
	b.t.Helper()
	c := selChange{meta: b.sel.meta}
	for range DefaultSELCapacity - 100 {
		b.sel.stage(&c, mc.SELEntry{2: mc.SELTypeSystem})
	}
	if err := b.db.Update(func(tx *kv.Tx) error { return b.sel.save(tx, &c) }); err != nil {
		b.t.Fatal(err)
	}
	b.stop()
	b.start()
	for range 200 {
		if got := b.guest("0a 24 00 00 51 c0 04 00 31 5a 00"); got[:2] != "00" {
			b.t.Fatal(got)
		}
	}
	for _, r := range slices.Concat(sensorRows, accessRows) {
		b.guest(r.ask)
	}
}

// memoryReads gives a request for each row that changes nothing and is of
// memory alone; if any is answered with 00h, one of those.
func (b *board) memoryReads() map[string]*ipmb.Request {
	b.t.Helper()
	reads, done := make(map[string]*ipmb.Request), make(map[string]bool)
	for _, r := range allRows() {
		raw := unhex(b.t, r.ask)
		req := &ipmb.Request{NetFn: ipmb.NetFn(raw[0]), Cmd: ipmb.Cmd(raw[1]), Data: raw[2:], Origin: b.origin()}
		c := b.mux.Lookup(req.NetFn, req.Cmd, req.Data)
		if c == nil || c.Effect || slices.Contains(beyondMemory, c.Name) || done[c.Name] {
			continue
		}
		reads[c.Name], done[c.Name] = req, b.Handler().ServeIPMI(b.t.Context(), req).Code == ipmb.OK
	}
	return reads
}

// Each read of memory through the whole handler, on a well-filled controller,
// as times of Get Device ID; then the slowest once more, which may not take
// more than 50 µs both times: others may use the machine, too.
func BenchmarkCommands(b *testing.B) {
	node := newBoard(b, ProfileATCA)
	node.furnish()
	reads := node.memoryReads()
	var unit time.Duration
	measure := func(title, name string) (took time.Duration) {
		b.Run(title, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				node.Handler().ServeIPMI(b.Context(), reads[name])
			}
			took = b.Elapsed() / time.Duration(b.N)
			b.ReportMetric(float64(took)/float64(cmp.Or(unit, took)), "×GetDeviceID")
		})
		return took
	}
	measure("warming up", "Get Device ID")
	unit = measure("Get Device ID", "Get Device ID")
	var slowest time.Duration
	var name string
	for _, c := range node.Commands() {
		if reads[c.Name] == nil || c.Name == "Get Device ID" {
			continue
		}
		if took := measure(c.Name, c.Name); took > slowest {
			slowest, name = took, c.Name
		}
	}
	if again := measure("slowest: "+name, name); min(again, slowest) > memoryBound {
		b.Errorf("%s takes %v and %v, more than %v", name, slowest, again, memoryBound)
	}
}
