package node

import (
	"testing"
	"testing/synctest"

	"github.com/midplane-project/midplane/ipmb"
)

// wrap puts a frame into a Send Message to another controller.
func wrap(t testing.TB, to ipmb.Addr, f ipmb.Frame) ipmb.Frame {
	t.Helper()
	raw, err := f.AppendBinary(nil)
	if err != nil {
		t.Fatal(err)
	}
	data, err := ipmb.SendMessage{Tracking: ipmb.TrackRequest, Message: raw}.AppendBinary(nil)
	if err != nil {
		t.Fatal(err)
	}
	return request(to, 1, ipmb.NetFnApp, ipmb.CmdSendMessage, data...)
}

// The guest's attacks end at its own door, by whatever wrapping.
func TestGuestPolicy(t *testing.T) {
	clearSEL := request(other, 3, ipmb.NetFnStorage, 0x47, 1, 0, 'C', 'L', 'R', 0xAA)
	forged := clearSEL
	forged.From = ipmb.AddrShelfManager
	deep := clearSEL
	for range ipmb.MaxNesting + 1 {
		deep = wrap(t, other, deep)
	}
	for name, c := range map[string]struct {
		frame ipmb.Frame
		want  ipmb.CompletionCode
	}{
		"clear another's SEL":      {clearSEL, ipmb.ErrPrivilege},
		"as the shelf manager":     {forged, ipmb.ErrPrivilege},
		"the shelf's SEL":          {request(0x20, 3, ipmb.NetFnStorage, 0x47, 1, 0, 'C', 'L', 'R', 0xAA), ipmb.ErrPrivilege},
		"the own one by the bus":   {request(self, 3, ipmb.NetFnStorage, 0x47, 1, 0, 'C', 'L', 'R', 0xAA), ipmb.ErrPrivilege},
		"wrapped":                  {wrap(t, third, clearSEL), ipmb.ErrPrivilege},
		"wrapped twice":            {wrap(t, third, wrap(t, 0x20, clearSEL)), ipmb.ErrPrivilege},
		"wrapped for itself":       {wrap(t, self, clearSEL), ipmb.ErrPrivilege},
		"wrapped without end":      {deep, ipmb.ErrInvalidField},
		"wrapped nonsense":         {request(third, 1, ipmb.NetFnApp, ipmb.CmdSendMessage, 0, 1, 2, 3, 4, 5, 6, 7, 8), ipmb.ErrInvalidField},
		"take another's power":     {request(other, 3, ipmb.NetFnChassis, 2, 0), ipmb.ErrPrivilege},
		"set its activation":       {request(other, 3, ipmb.NetFnGroup, 0x0C, 0, 0, 0), ipmb.ErrPrivilege},
		"a command nobody knows":   {request(other, 3, ipmb.NetFnOEM, 0x01, 1, 2, 3), ipmb.ErrPrivilege},
		"read another's SEL":       {request(other, 3, ipmb.NetFnStorage, 0x40), ipmb.OK},
		"read it through a third":  {wrap(t, third, request(other, 3, ipmb.NetFnStorage, 0x40)), ipmb.OK},
		"report an event to 0x20":  {request(0x20, 3, ipmb.NetFnSensor, 2, 4, 2, 0x30, 1, 0x57, 0xFF, 0xFF), ipmb.OK},
		"speak to guest software":  {ipmb.Frame{To: other, ToLUN: 2, NetFn: 0x30, Cmd: 0x47, FromLUN: 2}, ipmb.OK},
		"answer what nobody asked": {ipmb.Frame{To: other, NetFn: 0x31, Cmd: 0x47, Data: []byte{0}}, ipmb.OK},
	} {
		t.Run(name, func(t *testing.T) {
			inTime(t, func(t *testing.T, b *board) {
				if code := b.send(c.frame); code != c.want {
					t.Errorf("code %v, want %v", code, c.want)
				}
				synctest.Wait()
				wantSent := 0
				if c.want == ipmb.OK && !c.frame.IsResponse() {
					wantSent = 1
				}
				if sent := b.bus.messages(); len(sent) != wantSent {
					t.Errorf("sent %v", sent)
				}
			})
		})
	}
}

// Another controller's Send Message is answered with the whole frame that
// answers the message within; the guest policy holds on the way.
func TestNested(t *testing.T) {
	b := newBoard(t, ProfileATCA)
	b.bus.on(func(m ipmb.Message) (ipmb.Response, bool) {
		if m.Frame.From != self || m.Origin.Source != self {
			t.Errorf("forwarded %s of %+v", m.Frame, m.Origin)
		}
		return ipmb.Response{Data: []byte{0x51}}, true
	})
	b.bus.absent[third] = true
	inner := request(other, 0x15, ipmb.NetFnStorage, 0x40)
	erase := request(other, 0x15, ipmb.NetFnStorage, 0x47, 1, 0, 'C', 'L', 'R', 0xAA)
	for _, c := range []struct {
		name    string
		speaker ipmb.Speaker
		inner   ipmb.Frame
		want    ipmb.CompletionCode
	}{
		{"read", ipmb.SpeakerAPI, inner, ipmb.OK},
		{"a guest reads", ipmb.SpeakerGuest, inner, ipmb.OK},
		{"a guest erases", ipmb.SpeakerGuest, erase, ipmb.ErrPrivilege},
		{"nobody there", ipmb.SpeakerAPI, getDeviceID(third, 1), ipmb.ErrNAK},
		{"an answer", ipmb.SpeakerAPI, ipmb.Frame{To: other, NetFn: 7, Cmd: 1, Data: []byte{0}}, ipmb.ErrInvalidField},
	} {
		m := ipmb.Message{ID: 9, Instance: "shm", Frame: wrap(t, self, c.inner), Origin: ipmb.Origin{Speaker: c.speaker, Privilege: ipmb.PrivilegeAdmin}}
		m.Frame.From, m.Frame.FromLUN = ipmb.AddrShelfManager, 0
		before := len(b.bus.messages())
		b.Deliver(t.Context(), m)
		var r ipmb.Response
		for n := before; ; n++ {
			if last := b.bus.wait(t, n+1)[n]; last.Frame.To == ipmb.AddrShelfManager {
				r, _ = last.Frame.Response()
				break
			}
		}
		if r.Code != c.want {
			t.Errorf("%s: %v, want %v", c.name, r.Code, c.want)
		}
		if c.want != ipmb.OK {
			continue
		}
		got, err := ipmb.ParseFrame(r.Data)
		want := c.inner.Reply(ipmb.Response{Data: []byte{0x51}})
		if err != nil || got.String() != want.String() {
			t.Errorf("%s: carries %s (%v), want %s", c.name, got, err, want)
		}
	}
}
