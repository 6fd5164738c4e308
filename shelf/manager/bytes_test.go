package manager

import (
	"context"
	"encoding/hex"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/midplane-project/midplane/ipmb"
	v1 "github.com/midplane-project/midplane/proto/midplane/v1"
)

// unhex reads hex with spaces.
func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.ReplaceAll(s, " ", ""))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// One story, in virtual time that begins at 2000-01-01 (386D4380h): what a
// controller at 0x82 asks and gets, byte for byte.
var story = []struct {
	what    string
	request string // netFn, command, data
	want    string // completion code, data
}{
	{"Get Device ID", "06 01", "00 20 01 00 10 02 bf 000000 0000 00000000"},
	{"Get Self Test Results", "06 04", "00 55 00"},
	{"Get Device GUID", "06 08", "00 a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5"},
	{"Get System GUID", "06 37", "00 a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5"},
	{"Get Channel Info of channel 0", "06 42 00", "00 00 01 01 00 f21b00 0000"},
	{"Get Channel Info of this channel", "06 42 0e", "00 00 01 01 00 f21b00 0000"},
	{"Get Channel Info of another", "06 42 07", "cc"},
	{"Get Channel Access", "06 41 00 40", "82"},
	{"Get Channel Authentication Capabilities", "06 38 01 04", "00 01 00 04 00 00 000000"},
	{"Get Channel Cipher Suites", "06 54 01 00 80", "00 01 c0 11 03 44 81 c0 03 01 41 81"},
	{"Get Channel Access of the LAN, which nobody has opened", "06 41 01 80", "00 20 04"},
	{"Set Session Privilege Level, over the bus", "06 3b 03", "d4"},
	{"Close Session, over the bus", "06 3c 00000000 01", "d4"},
	{"Get Session Info, over the bus", "06 3d 00", "d4"},
	{"Set Channel Access, over the bus", "06 40 01 82 84", "d4"},
	{"Set User Access, over the bus", "06 43 91 02 04", "d4"},
	{"Get User Access, over the bus", "06 44 01 02", "d4"},
	{"Set User Name, over the bus", "06 45 03 62 00000000000000000000000000000000", "d4"},
	{"Get User Name, over the bus", "06 46 02", "d4"},
	{"Set User Password, over the bus", "06 47 02 01", "d4"},
	{"Set User Payload Access, over the bus", "06 4c 01 02 02000000", "d4"},
	{"Get User Payload Access, over the bus", "06 4d 01 02", "d4"},
	{"Set Channel Security Keys, over the bus", "06 56 01 00 01", "d4"},
	{"Set LAN Configuration Parameters, over the bus", "0c 01 01 03 7f000001", "d4"},
	{"Get LAN Configuration Parameters, over the bus", "0c 02 01 03 00 00", "d4"},
	{"Suspend BMC ARPs, over the bus", "0c 03 01 03", "d4"},
	{"Get IP/UDP/RMCP Statistics, over the bus", "0c 04 01 00", "d4"},
	{"Set SOL Configuration Parameters, over the bus", "0c 21 01 01 01", "d4"},
	{"Get SOL Configuration Parameters, over the bus", "0c 22 01 01 00 00", "d4"},
	{"Get Event Receiver", "04 01", "00 20 00"},
	{"Set Event Receiver", "04 00 82 00", "d4"},
	{"Get SEL Info, empty", "0a 40", "00 51 0000 f0ff ffffffff ffffffff 0b"},
	{"Platform Event", "04 02 04 01 30 01 09 ff ff", "00"},
	{"Platform Event, short", "04 02 04 01 30 01 09 ff", "c7"},
	{"Add SEL Entry, a panic string", "0a 44 0000 f0 82 00 50616e6963000000000000", "00 0200"},
	{"Add SEL Entry of an unknown type", "0a 44 0000 03 00000000 8200 04 01 30 01 09 ff ff", "80"},
	{"Get SEL Info", "0a 40", "00 51 0200 d0ff 80436d38 ffffffff 0b"},
	{"Get SEL Allocation Info", "0a 41", "00 ff0f 1000 fd0f fd0f 01"},
	{"Reserve SEL", "0a 42", "00 0100"},
	{"Get SEL Entry, the first", "0a 43 0000 0000 00 ff", "00 0200 0100 02 80436d38 8200 04 01 30 01 09 ff ff"},
	{"Get SEL Entry, the last", "0a 43 0000 ffff 00 ff", "00 ffff 0200 f0 82 00 50616e6963000000000000"},
	{"Get SEL Entry, absent", "0a 43 0000 0300 00 ff", "cb"},
	{"Get SEL Entry in parts needs a reservation", "0a 43 0900 0100 02 02", "c5"},
	{"Delete SEL Entry", "0a 46 0100 0200", "00 0200"},
	{"Delete SEL Entry, the reservation is gone", "0a 46 0100 0100", "c5"},
	{"Clear SEL, status", "0a 47 0200 434c52 00", "00 01"},
	{"Clear SEL", "0a 47 0200 434c52 aa", "00 01"},
	{"Clear SEL, bad magic", "0a 47 0300 434c53 aa", "cc"},
	{"Get SEL Entry after the clear", "0a 43 0000 0000 00 ff", "00 ffff 0300 02 80436d38 2000 04 10 00 6f 02 ff ff"},
	{"Get SEL Time", "0a 48", "00 80436d38"},
	{"Set SEL Time", "0a 49 00000040", "00"},
	{"Get SEL Time, shifted", "0a 48", "00 00000040"},
	{"Set SEL Time to nothing", "0a 49 ffffffff", "cc"},
	{"Get SDR Repository Info", "0a 20", "00 51 0500 0000 80436d38 80436d38 23"},
	{"Get SDR Repository Allocation Info", "0a 21", "00 0c00 1000 0000 0000 0f"},
	{"Reserve SDR Repository", "0a 22", "00 af13"},
	{"Get SDR, the own locator", "0a 23 0000 0000 00 ff", "00 4100 1000 51 12 18 20 00 00 bf 000000 f0 60 00 cd 5368656c66204d616e61676572"},
	{"Get SDR, blade1", "0a 23 0000 4100 00 ff", "00 4200 4100 51 12 11 82 00 00 2f 000000 a0 60 00 c6 626c61646531"},
	{"Get SDR, a header", "0a 23 0000 4200 00 05", "00 0110 4200 51 12 11"},
	{"Get SDR, too much", "0a 23 0000 4200 00 40", "ca"},
	{"Get SDR, absent", "0a 23 0000 4300 00 ff", "cb"},
	{"Get Sensor Reading Factors: a discrete sensor has none", "04 23 02 00", "cd"},
	{"Get Sensor Hysteresis", "04 25 02", "cd"},
	{"Get Sensor Thresholds", "04 27 02", "cd"},
	{"Get Sensor Event Enable", "04 29 02", "00 c0"},
	{"Get Sensor Event Status", "04 2b 02", "00 c0 0000 0000"},
	{"Get Sensor Reading, the event log", "04 2d 02", "00 00 c0 00 80"},
	{"Get Sensor Reading, the replicas: nobody counts them", "04 2d 01", "00 00 e0 00 80"},
	{"Get Sensor Reading, absent", "04 2d 09", "cb"},
	{"Get Sensor Type", "04 2f 01", "00 28 0b"},
	{"Set Sensor Event Enable: nobody silences the shelf", "04 28 02 00", "c1"},
	{"Get Chassis Capabilities", "00 00", "00 00 20 20 20 20"},
	{"Get Chassis Status, nobody is attached who could say that he is off", "00 01", "00 61 00 40"},
	{"Chassis Control by an operator", "00 02 00", "d4"},
	{"Chassis Identify", "00 04", "00"},
	{"Chassis Identify in a way that there is not", "00 04 0f 02", "cc"},
	{"Get Chassis Status, temporarily identified", "00 01", "00 61 00 50"},
	{"Chassis Identify for ever", "00 04 00 01", "00"},
	{"Get Chassis Status, indefinitely identified", "00 01", "00 61 00 60"},
	{"Chassis Identify, off", "00 04 00", "00"},
	{"Get Chassis Status, not identified", "00 01", "00 61 00 40"},
	{"Get System Restart Cause: a shelf has none", "00 07", "c1"},
	{"Get POH Counter: a shelf has none", "00 0f", "c1"},
	{"Get FRU Inventory Area Info", "0a 10 00", "00 0010 00"},
	{"Get FRU Inventory Area Info, FRU 1", "0a 10 01", "cb"},
	{"Read FRU Data, the format version", "0a 11 00 0000 01", "00 01 01"},
	{"Read FRU Data, behind the end", "0a 11 00 0010 01", "c9"},
	{"Write FRU Data", "0a 12 00 f007 a1b2", "00 02"},
	{"Write FRU Data, more than fits", "0a 12 00 fe07 010203", "00 02"},
	{"Read FRU Data, what was written", "0a 11 00 f007 ff", "ca"},
	{"Read FRU Data, what was written, in a size that fits", "0a 11 00 f007 20", "00 20 a1b2 ffffffffffffffffffffffff 0102 ffffffffffffffffffffffffffffffff"},
	{"Get PICMG Properties", "2c 00 00", "00 00 32 00 00"},
	{"Activate Payload: consoles are for the shelf's users", "06 48 0101c0000000", "d4"},
	{"Deactivate Payload", "06 49 0101c0000000", "d4"},
	{"Get Payload Activation Status", "06 4a 01", "d4"},
	{"Get Payload Instance Info", "06 4b 0101", "d4"},
	{"Get Channel Payload Support", "06 4e 01", "d4"},
	{"Get Channel Payload Version", "06 4f 0101", "d4"},
	{"Suspend/Resume Payload Encryption", "06 55 010101", "d4"},
	{"Get Address Info", "2c 01 00", "00 00 10 20 ff 00 01 03"},
	{"Get Address Info, FRU 0", "2c 01 00 00", "00 00 10 20 ff 00 01 03"},
	{"Get Address Info, FRU 9", "2c 01 00 09", "cb 00"},
	{"Get Address Info, by hardware address", "2c 01 00 00 00 42", "00 00 42 84 ff 00 02 00"},
	{"Get Address Info, by the own one", "2c 01 00 00 00 10", "00 00 10 20 ff 00 01 03"},
	{"Get Address Info, hardware address that does not fit", "2c 01 00 00 00 c2", "c9 00"},
	{"Get Address Info, by IPMB address", "2c 01 00 00 01 82", "00 00 41 82 ff 00 01 00"},
	{"Get Address Info, board site 1", "2c 01 00 00 03 01 00", "00 00 41 82 ff 00 01 00"},
	{"Get Address Info, board site 2", "2c 01 00 00 03 02 00", "00 00 42 84 ff 00 02 00"},
	{"Get Address Info, past the last site", "2c 01 00 00 03 03 00", "c9 00"},
	{"Get Address Info, the shelf manager's site", "2c 01 00 00 03 01 03", "00 00 10 20 ff 00 01 03"},
	{"Get Address Info, a key type without key", "2c 01 00 00 03", "c7 00"},
	{"Get Device Locator Record ID", "2c 0d 00 00", "00 00 1000"},
	{"Get Device Locator Record ID, after it", "2c 0d 00 00 1000", "cb 00"},
	{"Get Shelf Manager IPMB Address", "2c 1b 00", "00 00 20 ff"},
	{"Send Message to another channel", "06 34 47 84 18 64 20 04 01 db", "cc"},
	{"Send Message without a frame", "06 34 40", "c7"},
	{"Send Message to nobody", "06 34 40 90 18 58 20 04 01 db", "83"},
	{"Send Message to 0x20 itself", "06 34 40 20 18 c8 82 04 01 79", "00 82 1c 62 20 04 01 00 20 01 00 10 02 bf 000000 0000 00000000 e9"},
	{"An unknown command", "06 99", "c1"},
	{"A group extension without body", "2c", "c7"},
}

func TestBytes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newReplica(newFakeCluster(t), 1).trusting()
		r.claim(t, 0x41, 1)
		r.claim(t, 0x42, 1)
		defer r.lead(t)()
		synctest.Wait()
		for _, s := range story {
			b := unhex(t, s.request)
			m := r.message(blade1, ipmb.SpeakerController, ipmb.NetFn(b[0]), 0)
			if len(b) > 1 {
				m.Frame.Cmd, m.Frame.Data = ipmb.Cmd(b[1]), b[2:]
			}
			code, data := r.ask(t, m)
			if got, want := fmt.Sprintf("%02x%x", byte(code), data), strings.ReplaceAll(s.want, " ", ""); got != want {
				t.Errorf("%s:\n got %s\nwant %s", s.what, got, want)
			}
		}
	})
}

// No row of the table goes without bytes in the story.
func TestBytesCoverEveryCommand(t *testing.T) {
	r := newReplica(newFakeCluster(t), 1)
	asked := make(map[*ipmb.Command]bool)
	for _, s := range story {
		if b := unhex(t, s.request); len(b) > 1 {
			asked[r.mux.Lookup(ipmb.NetFn(b[0]), ipmb.Cmd(b[1]), b[2:])] = true
		}
	}
	for _, c := range r.Commands() {
		body := ipmb.AppendBody(nil, c.NetFn, c.Body)
		if !asked[r.mux.Lookup(c.NetFn, c.Cmd, body)] {
			t.Errorf("no bytes for %s (%02x/%02x)", c.Name, uint8(c.NetFn), uint8(c.Cmd))
		}
	}
}

func TestLUNs(t *testing.T) {
	r := leading(t)
	for lun, want := range []ipmb.CompletionCode{ipmb.OK, ipmb.ErrInvalidForLUN, ipmb.ErrInvalidForLUN, ipmb.ErrInvalidForLUN} {
		m := r.message(blade1, ipmb.SpeakerGuest, ipmb.NetFnApp, 0x01)
		m.Frame.ToLUN = ipmb.LUN(lun)
		if code, _ := r.ask(t, m); code != want {
			t.Errorf("LUN %d: %v, want %v", lun, code, want)
		}
	}
}

// The shelf's users speak to 0x20 without a frame, and to others through it.
func TestDo(t *testing.T) {
	r := leading(t)
	r.bus.attach(blade1, 1, func(_ context.Context, req *ipmb.Request) ipmb.Response {
		return ipmb.Response{Data: []byte{byte(req.Cmd), byte(req.Origin.Privilege)}}
	})
	user := ipmb.Origin{Speaker: ipmb.SpeakerAPI, Door: ipmb.DoorAPI, Privilege: admin}
	event := &ipmb.Request{NetFn: ipmb.NetFnSensor, Cmd: 0x02, Data: unhex(t, "04 01 30 01 09 ff ff"), Origin: user}
	if a, err := r.Do(t.Context(), ipmb.AddrShelfManager, event); err != nil || a.Code != ipmb.OK {
		t.Fatalf("event: %v, %v", a, err)
	}
	log := r.cfg.State.Log("lab", 0, 0)
	if len(log) != 1 || log[0].Source != ipmb.AddrShelfManager || log[0].Speaker != v1.Speaker_SPEAKER_API || log[0].Record[7] != systemSoftware {
		t.Errorf("logged %+v", log)
	}
	a, err := r.Do(t.Context(), blade1, &ipmb.Request{NetFn: ipmb.NetFnApp, Cmd: 0x01, Origin: user})
	if err != nil || string(a.Data) != "\x01\x04" {
		t.Errorf("blade1: %v, %v", a, err)
	}
	if _, err := r.Do(t.Context(), blade2, &ipmb.Request{NetFn: ipmb.NetFnApp, Cmd: 0x01, Origin: user}); ipmb.CodeOf(err) != ipmb.ErrDestination {
		t.Errorf("blade2, absent: %v", err)
	}
}
