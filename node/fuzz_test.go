package node

import (
	"testing"
	"time"

	"github.com/midplane-project/midplane/ipmb"
)

// Whatever a guest says at its door, and whatever comes over the bus, is
// answered with a completion code and does no more harm than that.
func FuzzGuest(f *testing.F) {
	for _, r := range commandRows {
		f.Add(unhex(f, r.ask), false)
		f.Add(unhex(f, r.ask), true)
	}
	b := newBoard(f, ProfileATCA)
	f.Fuzz(func(t *testing.T, raw []byte, bus bool) {
		if len(raw) < 2 || len(raw) > ipmb.MaxFramePayload {
			return
		}
		b.t = t
		req := &ipmb.Request{
			NetFn: ipmb.NetFn(raw[0]>>2) &^ 1, LUN: ipmb.LUN(raw[0] & 3), Cmd: ipmb.Cmd(raw[1]), Data: raw[2:], Origin: b.origin(),
		}
		if !bus {
			if r := b.Handler().ServeIPMI(t.Context(), req); len(r.Data) > ipmb.MaxFramePayload {
				t.Errorf("%d bytes of answer to % x", len(r.Data), raw)
			}
			return
		}
		b.Deliver(t.Context(), ipmb.Message{Frame: ipmb.RequestFrame(self, other, 2, raw[0], req), Origin: ipmb.Origin{Speaker: ipmb.SpeakerGuest}})
		b.received()
	})
}

// What a kill or a stranger left in the ledger is taken or dropped.
func FuzzLeft(f *testing.F) {
	m := ipmb.Message{ID: 1, Instance: "other", Frame: getDeviceID(other, 5)}
	f.Add(appendAsk(nil, askKey{other, 2, 5}, m, time.Unix(1, 0)))
	f.Add(appendAsked(nil, m, time.Unix(1, 0)))
	f.Add([]byte{0, 1, 2})
	f.Fuzz(func(t *testing.T, payload []byte) {
		b := &asks{self: self}
		if k, m, at, err := b.parse(payload); err == nil {
			again, m2, at2, err := b.parse(appendAsk(nil, k, m, at))
			if err != nil || again != k || m2.ID != m.ID || !at2.Equal(at) {
				t.Errorf("ask % x: %v", payload, err)
			}
		}
		if m, at, err := parseAsked(payload); err == nil {
			if m2, at2, err := parseAsked(appendAsked(nil, m, at)); err != nil || m2.ID != m.ID || m2.Instance != m.Instance || !at2.Equal(at) {
				t.Errorf("asked % x: %v", payload, err)
			}
		}
	})
}
