package manager

import (
	"context"
	"testing"

	"github.com/midplane-project/midplane/ipmb"
)

// What the manager itself costs, over a cluster that commits at once.
func BenchmarkServe(b *testing.B) {
	r := newReplica(newFakeCluster(b), 1)
	defer r.lead(b)()
	run := func(name string, m ipmb.Message) {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				m.ID++
				if _, ok := r.Serve(context.Background(), m); !ok {
					b.Fatal("no answer")
				}
			}
		})
	}
	run("GetDeviceID", r.message(blade1, ipmb.SpeakerGuest, ipmb.NetFnApp, 0x01))
	run("AddSEL", r.addSEL(1))
}
