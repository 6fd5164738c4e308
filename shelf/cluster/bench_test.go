package cluster_test

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// BenchmarkCommit measures 100-byte commands through three replicas in one
// process, over TCP on loopback, each with its own bbolt file and real syncs.
func BenchmarkCommit(b *testing.B) {
	for _, appliers := range []int{1, 64} {
		b.Run(fmt.Sprintf("appliers=%d", appliers), func(b *testing.B) { benchmarkCommit(b, appliers) })
	}
}

func benchmarkCommit(b *testing.B, appliers int) {
	l, _ := tcpLab(b)
	leader := l.leader()
	cmd := make([]byte, 100)
	took := make([]time.Duration, b.N)
	var next atomic.Int64
	var wg sync.WaitGroup
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	b.ResetTimer()
	for range appliers {
		wg.Go(func() {
			for i := next.Add(1) - 1; i < int64(b.N); i = next.Add(1) - 1 {
				began := time.Now()
				if _, _, err := leader.Apply(ctx, cmd); err != nil {
					b.Error(err)
					return
				}
				took[i] = time.Since(began)
			}
		})
	}
	wg.Wait()
	b.StopTimer()
	slices.Sort(took)
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "commits/s")
	b.ReportMetric(float64(took[len(took)/2].Microseconds()), "p50-µs")
	b.ReportMetric(float64(took[len(took)*99/100].Microseconds()), "p99-µs")
}

// BenchmarkVerify measures leadership checks by 64 callers at once.
func BenchmarkVerify(b *testing.B) {
	l, _ := tcpLab(b)
	leader := l.leader()
	b.SetParallelism(32)
	b.ResetTimer()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			if err := leader.VerifyLeader(context.Background()); err != nil {
				b.Error(err)
				return
			}
		}
	})
}
