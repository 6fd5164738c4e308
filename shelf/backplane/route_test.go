package backplane

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"

	"github.com/midplane-project/midplane/internal/wire"
	"github.com/midplane-project/midplane/ipmb"
	v1 "github.com/midplane-project/midplane/proto/midplane/v1"
)

// two gives a rig with the nodes at addr1 and addr2.
func two(t *testing.T) (*rig, *wired, *wired) {
	r := newRig(t, nil)
	one, _ := r.attach(hello(hw1, instanceA, 1))
	other, _ := r.attach(hello(hw2, instanceB, 1))
	synctest.Wait()
	return r, one, other
}

var (
	clearSEL = &ipmb.Request{NetFn: ipmb.NetFnStorage, Cmd: 0x47, Data: []byte{1, 0, 'C', 'L', 'R', 0xAA}}
	event    = &ipmb.Request{NetFn: ipmb.NetFnSensor, Cmd: 0x02, Data: []byte{4, 1, 0x30, 1, 0x57, 0, 0}}
	power    = &ipmb.Request{NetFn: ipmb.NetFnChassis, Cmd: 0x02, Data: []byte{0}}
)

// within wraps a request to addr2 in Send Message, depth times.
func within(t *testing.T, req *ipmb.Request, depth int) *ipmb.Request {
	t.Helper()
	for range depth {
		f, err := ipmb.RequestFrame(addr2, addr1, 0, 1, req).AppendBinary(nil)
		if err != nil {
			t.Fatal(err)
		}
		data, err := ipmb.SendMessage{Message: f}.AppendBinary(nil)
		if err != nil {
			t.Fatal(err)
		}
		req = &ipmb.Request{NetFn: ipmb.NetFnApp, Cmd: ipmb.CmdSendMessage, Data: data}
	}
	return req
}

func TestGuestPolicy(t *testing.T) {
	tests := map[string]struct {
		by   ipmb.Speaker
		req  func(*testing.T) *ipmb.Request
		want ipmb.CompletionCode // OK: it passes
	}{
		"guest reads":             {ipmb.SpeakerGuest, func(*testing.T) *ipmb.Request { return deviceID }, ipmb.OK},
		"guest clears":            {ipmb.SpeakerGuest, func(*testing.T) *ipmb.Request { return clearSEL }, ipmb.ErrPrivilege},
		"guest switches off":      {ipmb.SpeakerGuest, func(*testing.T) *ipmb.Request { return power }, ipmb.ErrPrivilege},
		"guest clears, nested":    {ipmb.SpeakerGuest, func(t *testing.T) *ipmb.Request { return within(t, clearSEL, 1) }, ipmb.ErrPrivilege},
		"guest clears, twice":     {ipmb.SpeakerGuest, func(t *testing.T) *ipmb.Request { return within(t, clearSEL, 2) }, ipmb.ErrPrivilege},
		"guest nests too deep":    {ipmb.SpeakerGuest, func(t *testing.T) *ipmb.Request { return within(t, deviceID, 5) }, ipmb.ErrInvalidField},
		"session clears":          {ipmb.SpeakerSession, func(*testing.T) *ipmb.Request { return clearSEL }, ipmb.ErrPrivilege},
		"API of a node clears":    {ipmb.SpeakerAPI, func(*testing.T) *ipmb.Request { return clearSEL }, ipmb.ErrPrivilege},
		"controller reports":      {ipmb.SpeakerController, func(*testing.T) *ipmb.Request { return event }, ipmb.OK},
		"controller clears":       {ipmb.SpeakerController, func(*testing.T) *ipmb.Request { return clearSEL }, ipmb.ErrPrivilege},
		"controller switches off": {ipmb.SpeakerController, func(*testing.T) *ipmb.Request { return power }, ipmb.ErrPrivilege},
		"controller, nested":      {ipmb.SpeakerController, func(t *testing.T) *ipmb.Request { return within(t, power, 2) }, ipmb.ErrPrivilege},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				_, one, other := two(t)
				one.send(one.request(addr2, tt.by, tt.req(t)))
				passed, answers := other.frames(), one.frames()
				if tt.want == ipmb.OK {
					if len(passed) != 1 || passed[0].Origin.Privilege != ipmb.PrivilegeOperator || passed[0].Origin.Speaker != tt.by {
						t.Errorf("arrived: %+v", passed)
					}
					return
				}
				if len(passed) != 0 || len(answers) != 1 {
					t.Fatalf("passed %v, answered %v", passed, answers)
				}
				if r, ok := answers[0].Frame.Response(); !ok || r.Code != tt.want || answers[0].ID != 1 || answers[0].Frame.From != addr2 {
					t.Errorf("answer %+v", answers[0])
				}
			})
		})
	}
}

func TestDropsLeaveTheStreamAlone(t *testing.T) {
	reframe := func(w *wired, change func(*ipmb.Message)) *v1.Envelope {
		m := ipmb.Message{
			ID: 1, Instance: instanceA, Epoch: w.epoch, Frame: ipmb.RequestFrame(addr2, addr1, 0, 1, deviceID),
			Origin: ipmb.Origin{Speaker: ipmb.SpeakerController},
		}
		change(&m)
		e, err := wire.ToEnvelope(m)
		if err != nil {
			w.t.Fatal(err)
		}
		return e
	}
	tests := map[string]struct {
		spoil func(*wired) *v1.Envelope
		want  Fate
	}{
		"forged address": {func(w *wired) *v1.Envelope { return reframe(w, func(m *ipmb.Message) { m.Frame.From = addr2 }) }, Forged},
		"forged manager": {func(w *wired) *v1.Envelope {
			return reframe(w, func(m *ipmb.Message) { m.Frame.From = ipmb.AddrShelfManager })
		}, Forged},
		"older epoch": {func(w *wired) *v1.Envelope { return reframe(w, func(m *ipmb.Message) { m.Epoch-- }) }, OldEpoch},
		"later epoch": {func(w *wired) *v1.Envelope { return reframe(w, func(m *ipmb.Message) { m.Epoch++ }) }, OldEpoch},
		"later term": {func(w *wired) *v1.Envelope {
			return reframe(w, func(m *ipmb.Message) { m.Frame.To, m.Term = ipmb.AddrShelfManager, 6 })
		}, OldTerm},
		"no origin":  {func(w *wired) *v1.Envelope { e := w.request(addr2, 0, deviceID); e.Origin = nil; return e }, Malformed},
		"bad bytes":  {func(w *wired) *v1.Envelope { e := w.request(addr2, 0, deviceID); e.Frame[2]++; return e }, Malformed},
		"overlong":   {func(w *wired) *v1.Envelope { e := w.request(addr2, 0, deviceID); e.Frame = make([]byte, 400); return e }, Malformed},
		"no frame":   {func(*wired) *v1.Envelope { return &v1.Envelope{} }, Malformed},
		"no message": {func(*wired) *v1.Envelope { return nil }, Malformed},
		"odd address": {func(w *wired) *v1.Envelope {
			return reframe(w, func(m *ipmb.Message) { m.Frame.To = addr2 | 1 })
		}, Absent},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r, one, other := two(t)
				one.send(tt.spoil(one))
				if got := other.frames(); len(got) != 0 || r.sw.Stats()[tt.want] != 1 {
					t.Fatalf("arrived %v, stats %v", got, r.sw.Stats())
				}
				one.send(one.request(addr2, 0, deviceID))
				if got := other.frames(); len(got) != 1 {
					t.Errorf("%d frames of a stream that sent a bad one before", len(got))
				}
			})
		})
	}
}

func TestAbsentIsAnswered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, one, _ := two(t)
		one.send(one.request(0x86, ipmb.SpeakerGuest, deviceID))
		got := one.frames()
		if len(got) != 1 {
			t.Fatalf("answers: %v", got)
		}
		if r, _ := got[0].Frame.Response(); r.Code != ipmb.ErrDestination {
			t.Errorf("code %v", r.Code)
		}
	})
}

func TestManagerBusy(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, nil)
		r.brain.hold = make(chan struct{})
		one, _ := r.attach(hello(hw1, instanceA, 1))
		for range maxServing + 1 {
			one.send(one.request(ipmb.AddrShelfManager, ipmb.SpeakerGuest, deviceID))
		}
		got := one.frames()
		if len(got) != 1 {
			t.Fatalf("%d answers while the manager works", len(got))
		}
		if rs, _ := got[0].Frame.Response(); rs.Code != ipmb.ErrBusy || got[0].Term != 5 {
			t.Errorf("answer %+v", got[0])
		}
		close(r.brain.hold)
		if got := one.frames(); len(got) != maxServing {
			t.Errorf("%d answers afterwards", len(got))
		}
	})
}

// A leader that was deposed while it worked sends nothing any more.
func TestAnswersOfAnOldTermStay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, nil)
		r.brain.hold = make(chan struct{})
		one, _ := r.attach(hello(hw1, instanceA, 1))
		one.send(one.request(ipmb.AddrShelfManager, ipmb.SpeakerGuest, deviceID))
		synctest.Wait()
		r.leads.Store(&reign{7, "r1"}) // lost, and won again
		close(r.brain.hold)
		if got := one.frames(); len(got) != 0 {
			t.Errorf("answer of term 5 in term 7: %+v", got)
		}
		m := ipmb.Message{Instance: instanceA, Frame: ipmb.RequestFrame(addr1, ipmb.AddrShelfManager, 0, 1, deviceID), Term: 5}
		if err := r.sw.Send(t.Context(), "lab", m); !errors.Is(err, ErrNotLeader) {
			t.Errorf("command of term 5 in term 7: %v", err)
		}
	})
}

func TestSendFromManager(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, one, _ := two(t)
		send := func(to ipmb.Addr) error {
			return r.sw.Send(context.Background(), "lab", ipmb.Message{Instance: instanceB, Frame: ipmb.RequestFrame(to, 0, 0, 1, deviceID)})
		}
		if err := send(addr1); err != nil {
			t.Fatal(err)
		}
		if got := one.frames(); len(got) != 1 || got[0].Frame.From != ipmb.AddrShelfManager || got[0].Term != 5 {
			t.Errorf("arrived: %+v", got)
		}
		if err := send(0x86); !errors.Is(err, ipmb.ErrDestination) {
			t.Errorf("to nobody: %v", err)
		}
		r.leads.Store(&reign{5, "r2"})
		if err := send(addr1); !errors.Is(err, ErrNotLeader) {
			t.Errorf("by a follower: %v", err)
		}
	})
}

// What arrives anywhere always bears the address of the stream it came by.
func FuzzEnvelope(f *testing.F) {
	f.Add(uint64(1), []byte(instanceA), []byte{0x84, 0x18, 0x64, 0x82, 0x04, 0x01, 0x79}, int32(1), uint32(4), uint64(1), uint64(0), int32(1))
	f.Add(uint64(1), []byte(instanceA), []byte{0x20, 0x18, 0xC8, 0x82, 0x04, 0x01, 0x79}, int32(2), uint32(4), uint64(1), uint64(5), int32(2))
	f.Fuzz(func(t *testing.T, id uint64, instance, frame []byte, speaker int32, privilege uint32, epoch, term uint64, plane int32) {
		synctest.Test(t, func(t *testing.T) {
			_, one, other := two(t)
			one.send(&v1.Envelope{
				Id: id, Instance: instance, Frame: frame, Epoch: epoch, Term: term, Plane: v1.Plane(plane),
				Origin: &v1.Origin{Speaker: v1.Speaker(speaker), Privilege: privilege},
			})
			for _, m := range other.frames() {
				if m.Frame.From != addr1 || m.Origin.Privilege > ipmb.PrivilegeOperator || m.Epoch != one.epoch {
					t.Errorf("arrived: %+v", m)
				}
			}
			if got := one.refused(); got != nil {
				t.Errorf("stream refused: %v", got)
			}
		})
	})
}
