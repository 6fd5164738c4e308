package state

import (
	"testing"

	"github.com/hashicorp/raft"
)

// full is a state whose log, SEL and session table are at their bounds.
func full(b *testing.B) (*State, uint64) {
	s := lab(b, Config{})
	epoch := mustClaim(b, s, second, claimBy(0x41, 'a', 1))
	for n := range uint64(DefaultLogLimit) {
		apply(b, s, at(second, events(0x41, 'o', epoch, n+1, n+1)))
		apply(b, s, once(at(second, addSEL(0x82, guest, oemRecord(1))), string(rune('a'+n%16)), n))
	}
	return s, epoch
}

// One event at a time, from the raft entry's bytes to the answer.
func BenchmarkApplyEvent(b *testing.B) {
	s, epoch := full(b)
	f := NewFSM(s, nil)
	n := uint64(DefaultLogLimit)
	logs := make([]*raft.Log, 0, b.N)
	for range b.N {
		n++
		logs = append(logs, entries(b, n, at(second, events(0x41, 'o', epoch, n, n)))...)
	}
	b.ReportAllocs()
	b.ResetTimer()
	for _, l := range logs {
		f.Apply(l)
	}
}

// A guest's Add SEL Entry with its session row.
func BenchmarkApplyAddSEL(b *testing.B) {
	s, _ := full(b)
	f := NewFSM(s, nil)
	logs := make([]*raft.Log, 0, b.N)
	for n := range uint64(b.N) {
		logs = append(logs, entries(b, n, once(at(second, addSEL(0x82, guest, oemRecord(1))), "node", n))...)
	}
	b.ReportAllocs()
	b.ResetTimer()
	for _, l := range logs {
		f.Apply(l)
	}
}

func BenchmarkSnapshotCapture(b *testing.B) {
	s, _ := full(b)
	b.ReportAllocs()
	for b.Loop() {
		s.capture()
	}
}

func BenchmarkSnapshotEncode(b *testing.B) {
	s, _ := full(b)
	c := s.capture()
	b.ReportAllocs()
	for b.Loop() {
		image, err := c.appendBinary(nil)
		if err != nil {
			b.Fatal(err)
		}
		b.ReportMetric(float64(len(image)), "bytes")
	}
}
