package node

import (
	"fmt"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/midplane-project/midplane/ipmb"
)

var addRecord = []byte{0, 0, 0xF0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13}

func (b *board) addSEL() error {
	return b.Handler().ServeIPMI(b.t.Context(), &ipmb.Request{
		NetFn: ipmb.NetFnStorage, Cmd: 0x44, Data: addRecord, Origin: b.origin(),
	}).Err()
}

// A record costs the same whether the log is empty or full.
func BenchmarkSELAdd(b *testing.B) {
	for _, n := range []int{0, 1000, DefaultSELCapacity} {
		b.Run(fmt.Sprintf("records=%d", n), func(b *testing.B) {
			s := newSEL(b)
			fill(b, s, n)
			for b.Loop() {
				if _, err := s.SELAdd(b.Context(), nil, selRecord(1)); err != nil {
					b.Fatal(err)
				}
				b.StopTimer()
				if len(s.rows) > n && n < DefaultSELCapacity { // as long as it was
					if _, err := s.SELDelete(b.Context(), nil, 0xFFFF); err != nil {
						b.Fatal(err)
					}
				}
				b.StartTimer()
			}
		})
	}
}

// Sixteen who write at once share their fsyncs; the aim is 1,000 records a
// second, each on disk when it is answered.
func BenchmarkSELAdd16(b *testing.B) {
	const writers = 16
	node := newBoard(b, ProfileATCA)
	var left atomic.Int64
	left.Store(int64(b.N))
	b.ResetTimer()
	var all sync.WaitGroup
	for range writers {
		all.Go(func() {
			for left.Add(-1) >= 0 {
				if err := node.addSEL(); err != nil {
					b.Error(err)
				}
			}
		})
	}
	all.Wait()
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "records/s")
}
