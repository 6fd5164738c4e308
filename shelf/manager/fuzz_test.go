package manager

import (
	"context"
	"testing"

	"github.com/midplane-project/midplane/ipmb"
)

// Whatever frame comes to 0x20, from whoever: no panic, an answer of the right
// shape, and nothing but reports from a guest.
func FuzzServe(f *testing.F) {
	for _, s := range story {
		if b := unhex(f, s.request); len(b) > 1 {
			for speaker := range byte(4) {
				f.Add(b[0], b[1], byte(0), speaker, b[2:])
			}
		}
	}
	f.Fuzz(func(t *testing.T, netFn, cmd, lun, speaker byte, data []byte) {
		if len(data) > ipmb.MaxFramePayload {
			return
		}
		r := newReplica(newFakeCluster(t), 1)
		defer r.lead(t)()
		r.bus.attach(blade2, 1, func(context.Context, *ipmb.Request) ipmb.Response { return ipmb.Response{} })
		m := r.message(blade1, ipmb.Speaker(speaker%4), ipmb.NetFn(netFn&0x3E), ipmb.Cmd(cmd), data...)
		m.Frame.ToLUN = ipmb.LUN(lun & 3)
		before, _ := r.cfg.State.SEL("lab")
		r.ask(t, m)
		after, _ := r.cfg.State.SEL("lab")
		if m.Origin.Speaker == ipmb.SpeakerGuest && (after.Erased != before.Erased || after.Offset != before.Offset || after.Records < before.Records) {
			t.Errorf("a guest changed the SEL by %s", m.Frame)
		}
	})
}
