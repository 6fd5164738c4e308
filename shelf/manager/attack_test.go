package manager

import (
	"bytes"
	"context"
	"testing"

	"github.com/midplane-project/midplane/ipmb"
	v1 "github.com/midplane-project/midplane/proto/midplane/v1"
)

// wrap puts a request frame into a Send Message request for channel 0.
func wrap(t testing.TB, f ipmb.Frame) []byte {
	t.Helper()
	b, err := f.AppendBinary([]byte{0x40})
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func request(to, from ipmb.Addr, netFn ipmb.NetFn, cmd ipmb.Cmd, data ...byte) ipmb.Frame {
	return ipmb.Frame{To: to, NetFn: netFn, From: from, Seq: 1, Cmd: cmd, Data: data}
}

// What guest software must not do to the shelf, said plainly, wrapped once,
// wrapped twice and with a forged address inside; nor whoever says on the bus that
// he is somebody else.
func TestGuestsAreRefused(t *testing.T) {
	attacks := []struct {
		what  string
		netFn ipmb.NetFn
		cmd   ipmb.Cmd
		data  []byte
	}{
		{"Clear SEL", ipmb.NetFnStorage, 0x47, []byte{1, 0, 'C', 'L', 'R', 0xAA}},
		{"Delete SEL Entry", ipmb.NetFnStorage, 0x46, []byte{0, 0, 1, 0}},
		{"Set SEL Time", ipmb.NetFnStorage, 0x49, []byte{1, 2, 3, 4}},
		{"Set Event Receiver", ipmb.NetFnSensor, 0x00, []byte{0x82, 0}},
		{"Set Channel Access", ipmb.NetFnApp, 0x40, []byte{0, 0, 0}},
		{"Cold Reset", ipmb.NetFnApp, 0x02, nil},
		{"Write FRU Data", ipmb.NetFnStorage, cmdWriteFRU, []byte{0, 0, 0, 0xFF}},
		{"Chassis Control", ipmb.NetFnChassis, 0x02, []byte{0}},
		{"FRU activation", ipmb.NetFnGroup, 0x0C, []byte{0, 0, 0}},
	}
	for _, a := range attacks {
		for _, speaker := range []ipmb.Speaker{ipmb.SpeakerGuest, ipmb.SpeakerSession, ipmb.SpeakerController, ipmb.SpeakerAPI} {
			t.Run(a.what+" by "+speaker.String(), func(t *testing.T) { refuseAll(t, speaker, a.netFn, a.cmd, a.data) })
		}
	}
}

func refuseAll(t *testing.T, speaker ipmb.Speaker, netFn ipmb.NetFn, cmd ipmb.Cmd, data []byte) {
	r := leading(t)
	r.ask(t, r.message(blade1, ipmb.SpeakerController, ipmb.NetFnStorage, 0x44, bytes.Repeat([]byte{0xF0}, 16)...))
	r.bus.attach(blade2, 1, func(context.Context, *ipmb.Request) ipmb.Response {
		t.Error("it reached another controller")
		return ipmb.Response{}
	})
	for _, to := range []ipmb.Addr{ipmb.AddrShelfManager, blade2} {
		for _, from := range []ipmb.Addr{blade1, ipmb.AddrShelfManager, 0x81} {
			once := request(to, from, netFn, cmd, data...)
			twice := request(ipmb.AddrShelfManager, from, ipmb.NetFnApp, ipmb.CmdSendMessage, wrap(t, once)...)
			for _, inner := range []ipmb.Frame{once, twice} {
				m := r.message(blade1, speaker, ipmb.NetFnApp, ipmb.CmdSendMessage, wrap(t, inner)...)
				if code, rest := r.ask(t, m); code != ipmb.ErrPrivilege || len(rest) != 0 {
					t.Errorf("%s in Send Message: %v % x, want D4h", inner, code, rest)
				}
			}
		}
	}
	if code, _ := r.ask(t, r.message(blade1, speaker, netFn, cmd, data...)); code != ipmb.ErrPrivilege {
		t.Errorf("plain: %v, want D4h", code)
	}
	if n := len(r.cfg.State.Log("lab", 0, 0)); n != 1 || len(r.bus.frames()) != 0 {
		t.Errorf("%d log entries, want 1; frames sent: %v", n, r.bus.frames())
	}
}

// A policy that lets too much through is not the only guard: the rows that
// erase are shut to guests by themselves.
func TestErasingIsShutWithoutPolicy(t *testing.T) {
	c := newFakeCluster(t)
	r := newReplica(c, 1)
	cmds := []ipmb.Cmd{cmdDeleteSEL, cmdClearSEL, cmdSetSELTime, cmdWriteFRU}
	var open []ipmb.CommandID
	for _, cmd := range cmds {
		open = append(open, ipmb.CommandID{NetFn: ipmb.NetFnStorage, Cmd: cmd})
	}
	r.cfg.Policy = ipmb.NewGuestPolicy(open)
	defer r.lead(t)()
	for _, cmd := range cmds {
		if code, _ := r.ask(t, r.message(blade1, ipmb.SpeakerGuest, ipmb.NetFnStorage, cmd, 1, 0, 'C', 'L', 'R', 0xAA)); code != ipmb.ErrPrivilege {
			t.Errorf("%v: %v, want D4h", cmd, code)
		}
	}
}

// What a guest reports is logged as software's, under its own controller's
// name, however it writes itself.
func TestGuestEventsAreMarked(t *testing.T) {
	r := leading(t)
	event := unhex(t, "04 01 30 01 09 ff ff")
	r.ask(t, r.message(blade1, ipmb.SpeakerGuest, ipmb.NetFnSensor, 0x02, event...))
	nested := request(ipmb.AddrShelfManager, ipmb.AddrShelfManager, ipmb.NetFnSensor, 0x02, event...)
	r.ask(t, r.message(blade1, ipmb.SpeakerGuest, ipmb.NetFnApp, ipmb.CmdSendMessage, wrap(t, nested)...))
	forged := unhex(t, "0000 02 00000000 2000 04 01 30 01 09 ff ff")
	r.ask(t, r.message(blade1, ipmb.SpeakerGuest, ipmb.NetFnStorage, 0x44, forged...))
	log := r.cfg.State.Log("lab", 0, 0)
	if len(log) != 3 {
		t.Fatalf("%d entries, want 3", len(log))
	}
	for _, e := range log {
		if e.Speaker != v1.Speaker_SPEAKER_GUEST || e.Source != blade1 || e.Record[7] != byte(blade1) || e.Record[8] != 2 {
			t.Errorf("entry %d: speaker %v, source %v, record % x", e.ID, e.Speaker, e.Source, e.Record)
		}
	}
}

// A node cannot use another's request names, whatever instance it claims.
func TestNamesAreOfTheirAddress(t *testing.T) {
	r := leading(t)
	add := func(from ipmb.Addr, first byte) []byte {
		record := bytes.Repeat([]byte{first}, 16)
		record[2] = 0xF0
		m := r.message(from, ipmb.SpeakerController, ipmb.NetFnStorage, 0x44, record...)
		m.ID, m.Instance = 7, string(bytes.Repeat([]byte{0x11}, 16))
		code, data := r.ask(t, m)
		if code != ipmb.OK {
			t.Fatalf("add: %v", code)
		}
		return data
	}
	if a, b := add(blade1, 1), add(blade2, 2); bytes.Equal(a, b) {
		t.Errorf("both got record id % x", a)
	}
}
