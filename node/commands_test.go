package node

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/midplane-project/midplane/ipmb"
)

// row is one exchange: who asks what, and the answer with its completion code.
// An x stands for any hex digit.
type row struct{ by, ask, want string }

const (
	byGuest = "guest"
	byShelf = "shelf"
)

// commandRows has at least one exchange for each command, in order: later ones
// see what earlier ones did.
var commandRows = []row{
	{byGuest, "00 00", "00 06 00 82 82 82"},
	{byGuest, "00 01", "00 20 00 40 70"},
	{byGuest, "00 02 06", "cc"},
	{byGuest, "00 02", "c7"},
	{byGuest, "00 03", "00"},
	{byGuest, "00 03 00", "c7"},
	{byGuest, "00 04", "00"},
	{byGuest, "00 04 05 02", "cc"},
	{byGuest, "00 04 05 01 00", "c7"},
	{byGuest, "00 05 06 20 82 82 82 20", "00"},
	{byGuest, "00 05 16 20 82 82 82", "cc"},
	{byGuest, "00 05 06 21 82 82 82", "cc"},
	{byGuest, "00 05 06 20 82 82", "c7"},
	{byShelf, "00 00", "00 06 20 82 82 82 20"},
	{byGuest, "00 06 03", "00 07"}, // ipmitool chassis policy list
	{byGuest, "00 06 02", "00 07"},
	{byGuest, "00 06 04", "cc"},
	{byGuest, "00 07", "00 00 00"},
	{byGuest, "00 08 03 1f", "00"},
	{byGuest, "00 08 08 00", "80"},
	{byGuest, "00 08", "c7"},
	{byGuest, "00 09 03 00 00", "00 01 03 1f"},
	{byGuest, "00 09 08 00 00", "80"},
	{byGuest, "00 0a 03", "00"},
	{byGuest, "00 0a 08", "cc"}, // a VM has no button for standby
	{byGuest, "00 0b 0a", "00"},
	{byGuest, "00 0b", "c7"},
	{byGuest, "00 0f", "00 3c 00 00 00 00"},
	{byGuest, "00 01", "00 40 00 52 73"}, // always on; identifying; both buttons are disabled
	{byShelf, "04 00 20 00", "00"},
	{byGuest, "04 01", "00 20 00"},
	{byShelf, "04 00 21 00", "cc"},
	{byGuest, "04 02 41 04 02 30 01 57 ff ff", "00"}, // ipmitool event 1
	{byGuest, "04 02 04 02 30 01 57 ff ff", "c7"},
	{byShelf, "04 02 04 02 30 01 57 ff ff", "00"},
	{byShelf, "04 02 41 04 02 30 01 57 ff ff", "c7"},
	{byGuest, "04 10", "00 51 2f 18"},
	{byGuest, "04 11 1e", "00 1e"},
	{byGuest, "04 11 ff", "00 xx"}, // the events above have not been processed by software
	{byGuest, "04 11 00", "00 00"},
	{byGuest, "04 11", "c7"},
	{byShelf, "04 11 fe", "00 fe"},
	{byGuest, "04 12 01 03", "00"},
	{byGuest, "04 13 01 00 00", "00 11 03"},
	{byGuest, "04 12 01 00", "00"},
	{byGuest, "04 12 05 10", "82"},
	{byGuest, "04 12 0e 10", "80"},
	{byGuest, "04 13 05 00 00", "00 11 18"},
	{byGuest, "04 13 85 00 00", "00 11"},
	{byGuest, "04 13 07 01 00", "00 11 01 40"}, // ipmitool pef filter enable 1
	{byGuest, "04 12 07 01 80", "00"},
	{byGuest, "04 13 07 01 00", "00 11 01 c0"},
	{byGuest, "04 14 00 02 00", "00"},
	{byGuest, "04 14 00 09 00", "cb"},
	{byGuest, "04 15", "00 xx xx xx xx 02 00 02 00 ff ff"},
	{byGuest, "04 16 01 01 00", "cc"}, // no LAN channel, no destination
	{byGuest, "04 16 01 41 00", "00 00"},
	{byGuest, "04 17 01 00 00 00 00 00 20 20 30 57 ff ff", "00"},
	{byGuest, "06 01", "00 20 81 00 10 02 bf 00 00 00 00 00 00 00 00 00"},
	{byGuest, "06 04", "00 55 00"},
	{byGuest, "06 06 aa ff", "00"},
	{byGuest, "06 06 8b 00", "cc"},
	{byGuest, "06 06 00 84", "cc"},
	{byGuest, "06 07", "00 06 03"},
	{byGuest, "06 22", "80"},
	{byGuest, "06 25", "00 00 00 00 00 00 00 00 00"},
	{byGuest, "06 24 04 00 00 00 2c 01", "00"},       // ipmi_watchdog is loaded
	{byGuest, "06 24 44 31 0a 00 2c 01", "00"},       // and its device opened
	{byGuest, "06 25", "00 04 31 0a 00 2c 01 2c 01"}, // don't stop starts nothing
	{byGuest, "06 22", "00"},
	{byGuest, "06 25", "00 44 31 0a 00 2c 01 2c 01"},
	{byGuest, "06 24 04 00 00 10 2c 01", "00"},
	{byGuest, "06 24 00 00 00 00 2c 01", "cc"}, // no use
	{byGuest, "06 24 06 00 00 00 2c 01", "cc"},
	{byGuest, "06 24 0c 00 00 00 2c 01", "cc"}, // reserved bits
	{byGuest, "06 24 04 08 00 00 2c 01", "cc"},
	{byGuest, "06 24 04 04 00 00 2c 01", "cc"}, // no action
	{byGuest, "06 24 04 41 00 00 2c 01", "cc"}, // no interrupt
	{byGuest, "06 24 04 11 0a 00 2c 01", "cc"}, // SMI
	{byGuest, "06 24 04 31 1f 00 2c 01", "cc"}, // a warning before the beginning
	{byGuest, "06 24 04 31 0a 00 2c", "c7"},
	{byGuest, "06 05", "00"},
	{byGuest, "06 04", "00 55 00"},
	{byGuest, "06 03", "00"},
	{byGuest, "06 02", "00"},
	{byGuest, "06 22", "80"}, // forgotten
	{byGuest, "06 08", "00 xx xx xx xx xx xx xx xx xx xx xx xx xx xx xx xx"},
	{byGuest, "06 37", "00 00 01 02 03 04 05 06 07 08 09 0a 0b 0c 0d 0e 0f"},
	{byGuest, "06 2f", "00 08"},
	{byGuest, "06 2e 0f", "00"},
	{byGuest, "06 2e 10", "cc"},
	{byShelf, "06 2e 0f", "d4"},
	{byShelf, "06 2f", "00 0f"},
	{byGuest, "06 30 08", "00"},
	{byGuest, "06 31", "00 00"},
	{byGuest, "06 33", "80"},
	{byGuest, "06 34 00 84 18 64 20 02 01 dd", "00"},    // as Linux sends it
	{byGuest, "06 34 00 00 84 18 64 20 08 01 d7", "00"}, // broadcast
	{byGuest, "06 34 00 84 18 64 20 02 01 de", "cc"},    // checksum
	{byGuest, "06 34 01 84 18 64 20 02 01 dd", "cc"},    // another channel
	{byGuest, "06 34 00 84 18", "c7"},
	{byGuest, "06 35", "80"},
	{byGuest, "06 41 00 40", "82"},
	{byGuest, "06 42 00", "00 00 01 01 00 f2 1b 00 00 00"},
	{byGuest, "06 42 0e", "00 0f 0c 05 00 f2 1b 00 ff ff"},
	{byGuest, "06 42 07", "cc"},
	{byGuest, "06 52 01 a0 08 00", "00 01 00 00 01 xx 00 00 xx"}, // ipmitool i2c bus=0 0xa0 8 0
	{byGuest, "06 52 01 ae 00 f0 c0 de", "00"},
	{byGuest, "06 52 01 50 01", "83"},
	{byGuest, "06 52 03 a0 01 00", "cc"},
	{byGuest, "06 52 01", "c7"},
	{byGuest, "0a 10 00", "00 00 10 00"},
	{byGuest, "0a 10 01", "cb"},
	{byGuest, "0a 11 00 00 00 08", "00 08 01 00 00 01 xx 00 00 xx"},
	{byGuest, "0a 11 00 f0 07 03", "00 03 c0 de ff"},
	{byGuest, "0a 11 00 00 08 01", "00 01 ff"},
	{byGuest, "0a 11 00 00 10 01", "c9"},
	{byGuest, "0a 11 00 00 00 ff", "ca"},
	{byGuest, "0a 12 00 ff 07 01 02", "00 01"},
	{byGuest, "0a 12 00 00 08 01", "c9"},
	{byGuest, "0a 12 01 00 00 01", "cb"},
	{byGuest, "0a 12 00 00 00", "c7"},
	{byGuest, "0a 20", "00 51 0e 00 fe ff xx xx xx xx ff ff ff ff 6f"},
	{byGuest, "0a 21", "00 29 10 10 00 00 10 00 10 0f"},
	{byGuest, "0a 22", "00 02 00"},
	{byGuest, "0a 23 00 00 00 00 00 ff", "00 02 00 01 00 51 12 11 82 00 00 bf 00 00 00 a0 60 00 c6 62 6c 61 64 65 31"},
	{byGuest, "0a 24 00 00 51 c0 04 00 31 5a 00", "00 00 40"},
	{byGuest, "0a 24 00 00 51 c0 05 00 31 5a 00", "c7"},
	{byGuest, "0a 23 00 00 00 40 00 ff", "00 ff ff 00 40 51 c0 04 00 31 5a 00"},
	{byGuest, "0a 25 00 00 00 00 00 00 00 00 51 c0 04", "00 01 00"},
	{byGuest, "0a 25 03 00 01 00 05 01 00 31 5a 01", "00 01 40"},
	{byGuest, "0a 26 03 00 00 40", "c5"}, // the second record ended the reservation
	{byGuest, "0a 26 04 00 00 40", "00 00 40"},
	{byGuest, "0a 26 05 00 01 00", "cd"}, // its own
	{byGuest, "0a 23 00 00 ff ff 00 05", "00 ff ff 01 40 51 c0 04"},
	{byGuest, "0a 2a", "00"},
	{byShelf, "0a 23 00 00 00 00 00 ff", "d0"},
	{byShelf, "0a 2b", "d0"},
	{byGuest, "0a 27 05 00 43 4c 52 aa", "00 01"},
	{byGuest, "0a 2b", "00"},
	{byGuest, "0a 2b", "d5"},
	{byShelf, "0a 23 00 00 ff ff 00 05", "00 ff ff 0e 00 51 02 24"},
	{byGuest, "0a 29 00 00 00 60", "00"},
	{byGuest, "0a 28", "00 00 00 00 60"},
	{byGuest, "0a 2c 00", "00 01"},
	{byGuest, "0a 40", "00 51 02 00 xx xx xx xx xx xx xx xx xx xx 0f"},
	{byGuest, "0a 41", "00 00 10 10 00 fe 0f fe 0f 01"},
	{byGuest, "0a 42", "00 01 00"},
	{byGuest, "0a 43 00 00 00 00 00 ff", "00 02 00 01 00 02 xx xx xx xx 41 00 04 02 30 01 57 ff ff"},
	{byGuest, "0a 43 00 00 ff ff 00 ff", "00 ff ff 02 00 02 xx xx xx xx 20 00 04 02 30 01 57 ff ff"},
	{byGuest, "0a 44 00 00 f0 01 02 03 04 05 06 07 08 09 0a 0b 0c 0d", "00 03 00"},
	{byGuest, "0a 45 00 00 00 00 00 00 00 00 f0 01 02 03 04", "00 01 00"}, // in two pieces
	{byGuest, "0a 45 01 00 01 00 07 01 05 06 07 08 09 0a 0b 0c 0d", "00 04 00"},
	{byGuest, "0a 43 00 00 ff ff 00 ff", "00 ff ff 04 00 f0 01 02 03 04 05 06 07 08 09 0a 0b 0c 0d"},
	{byGuest, "0a 46 00 00 ff ff", "00 04 00"}, // the last
	{byGuest, "0a 45 01 00 01 00 07 01 05", "c5"},
	{byGuest, "0a 46 00 00 03 00", "00 03 00"},
	{byGuest, "0a 46 00 00 03 00", "cb"},
	{byGuest, "0a 47 01 00 43 4c 52 aa", "c5"}, // the deletion cancelled the reservation
	{byGuest, "0a 47 03 00 43 4c 52 aa", "00 01"},
	{byGuest, "0a 48", "00 xx xx xx xx"},
	{byGuest, "0a 49 00 00 00 60", "00"},
	{byGuest, "0a 48", "00 00 00 00 60"},
	{byGuest, "0a 5a 00", "cb"}, // nobody has told of a machine check log
	{byGuest, "0a 5b 00 01 02 03 04 05 00 00 00", "00"},
	{byGuest, "0a 5a 00", "00 01 02 03 04 05 00 00 00"},
	{byGuest, "0a 5b 01 01 02 03 04 5a 31 00 01 02 03 04 05 06 07", "c7"},
	{byGuest, "0a 5c", "00 ff 07"},
	{byGuest, "0a 5d c4 ff", "00"}, // an hour west of Greenwich
	{byGuest, "0a 5c", "00 c4 ff"},
	{byGuest, "2c 00 00", "00 00 32 00 00"},
	{byGuest, "2c 01 00", "00 00 41 82 ff 00 01 00"},
	{byGuest, "2c 01 00 00 01 82", "00 00 41 82 ff 00 01 00"},
	{byGuest, "2c 01 00 00 00 41", "00 00 41 82 ff 00 01 00"},
	{byGuest, "2c 01 00 00 03 01 00", "00 00 41 82 ff 00 01 00"},
	{byGuest, "2c 01 00 00 01 84", "c9 00"},
	{byGuest, "2c 01 00 01", "cb 00"},
	{byGuest, "2c 01 00 00 01", "c7 00"},
	{byGuest, "2c 11 00 00 00 00", "00 00"}, // Linux ipmi_poweroff
	{byGuest, "2c 11 00 00 01 00", "d4 00"}, // raising it is the shelf's
	{byShelf, "2c 11 00 00 01 00", "00 00"},
	{byShelf, "2c 11 00 00 ff 00", "00 00"},
	{byShelf, "2c 11 00 00 02 00", "c9 00"},
	{byShelf, "2c 11 00 01 00 00", "cb 00"},
	{byGuest, "2c 0b 00 00", "00 00 00"}, // ipmitool picmg policy get 0
	{byGuest, "2c 0b 00 01", "cb 00"},
	{byGuest, "2c 0a 00 00 03 00", "d4 00"}, // nor may it unlock itself
	{byShelf, "2c 0a 00 00 03 03", "00 00"},
	{byShelf, "2c 0a 00 00 02 00", "00 00"},
	{byGuest, "2c 0b 00 00", "00 00 01"},
	{byShelf, "2c 0a 00 00 04 04", "cc 00"},
	{byShelf, "2c 0a 00 01 01 01", "cb 00"},
	{byShelf, "2c 0a 00 00 01", "c7 00"},
	{byGuest, "2c 0c 00 00 00", "d4 00"},
	{byGuest, "2c 0c 00 00 01", "d4 00"},
	{byShelf, "2c 0c 00 00 01", "00 00"}, // it is active
	{byShelf, "2c 0c 00 00 02", "cc 00"},
	{byShelf, "2c 0c 00 01 00", "cb 00"},
	{byShelf, "2c 0c 00 00", "c7 00"},
	{byGuest, "2c 12 00 00 00", "00 00 01 00 0a 64"}, // ipmitool picmg power get 0 0
	{byGuest, "2c 12 00 00 04", "cc 00"},
	{byGuest, "2c 12 00 01 00", "cb 00"},
	{byGuest, "04 2d 00", "00 00 c0 10 80"}, // M4
	{byShelf, "2c 0c 00 00 00", "00 00"},
	{byGuest, "04 2d 00", "00 00 c0 02 80"}, // M1
	{byShelf, "2c 0c 00 00 01", "d5 00"},
	{byShelf, "2c 11 00 00 01 00", "d5 00"},
	{byGuest, "2c 12 00 00 00", "00 00 00 00 0a 64"},
	{byGuest, "2c 12 00 00 01", "00 00 01 00 0a 64"},
	{byGuest, "06 99", "c1"},
}

// allRows are the exchanges of all tables, in their order.
func allRows() []row { return slices.Concat(commandRows, sensorRows, accessRows) }

// beforeSessions are the commands that need no session.
var beforeSessions = []string{"Get System GUID", "Get Channel Cipher Suites", "Get Channel Authentication Capabilities", "PET Acknowledge"}

func TestCommands(t *testing.T) {
	for _, profile := range []string{ProfileATCA, ProfileServer} {
		t.Run(profile, func(t *testing.T) {
			b := newBoard(t, profile)
			tested := make(map[ipmb.CommandID]bool)
			for _, r := range allRows() {
				raw := unhex(t, r.ask)
				body, _, _ := ipmb.SplitBody(ipmb.NetFn(raw[0]), raw[2:])
				tested[ipmb.CommandID{NetFn: ipmb.NetFn(raw[0]), Body: body, Cmd: ipmb.Cmd(raw[1])}] = true
				ask, want := b.guest, r.want
				if r.by == byShelf {
					ask = b.shelf
				}
				if profile == ProfileServer {
					want = asServer(r)
				}
				if got := ask(r.ask); !matches(got, want) {
					t.Errorf("%s asks %s: %s, want %s", r.by, r.ask, got, want)
				}
			}
			for _, c := range b.Commands() {
				if !tested[ipmb.CommandID{NetFn: c.NetFn, Body: c.Body, Cmd: c.Cmd}] {
					t.Errorf("%s (%02x/%02x) has no exchange in the table", c.Name, uint8(c.NetFn), uint8(c.Cmd))
				}
				if c.Ref == "" || c.Privilege == ipmb.PrivilegeNone && !slices.Contains(beforeSessions, c.Name) {
					t.Errorf("%s: reference %q, privilege %v", c.Name, c.Ref, c.Privilege)
				}
			}
		})
	}
}

// serverAnswers are those that differ for want of a FRU state sensor, and of one
// of the links to a shelf.
var serverAnswers = map[string]string{
	"guest 0a 20":                   "00 51 0c 00 fe ff xx xx xx xx ff ff ff ff 6f",
	"guest 0a 21":                   "00 23 10 10 00 00 10 00 10 0f",
	"shelf 0a 23 00 00 ff ff 00 05": "00 ff ff 0c 00 51 02 21",
	"guest 04 20":                   "00 0b 01",
	"shelf 04 20 01":                "00 0c 01",
	"guest 04 2d 00":                "cb",
}

// asServer gives what a server's BMC answers: no PICMG command, another entity
// in its locator, and two sensors fewer.
func asServer(r row) string {
	if strings.HasPrefix(r.ask, "2c") {
		return "c1"
	}
	if want, ok := serverAnswers[r.by+" "+r.ask]; ok {
		return want
	}
	return strings.ReplaceAll(r.want, "a0 60", "07 01")
}

func matches(got, want string) bool {
	if len(got) != len(want) {
		return false
	}
	for i := range want {
		if want[i] != 'x' && want[i] != got[i] {
			return false
		}
	}
	return true
}

// What a command of a guest's does to its own VM.
func TestOwnPower(t *testing.T) {
	for _, c := range []struct{ ask, want string }{
		{"00 02 00", "off"},
		{"00 02 01", "on"},
		{"00 02 02", "cycle"},
		{"00 02 03", "reset"},
		{"00 02 04", "nmi"},
		{"00 02 05", "graceful shutdown"},
		{"2c 11 00 00 00 00", "off"},
		{"2c 11 00 00 ff 00", ""},
		{"2c 11 00 00 01 00", ""},
	} {
		b := newBoard(t, ProfileATCA)
		b.guest(c.ask)
		if got := strings.Join(b.vm.took(), " "); got != c.want {
			t.Errorf("%s: did %q, want %q", c.ask, got, c.want)
		}
	}
}

func TestPowerThatCannotBe(t *testing.T) {
	b := newBoard(t, ProfileServer)
	b.vm.fail = ErrVMOff
	if got := b.guest("00 02 03"); got != "d5" {
		t.Errorf("reset of a VM that is off: %s", got)
	}
	b.vm.fail = errors.New("monitor is busy")
	for _, ask := range []string{"00 02 00", "00 02 01", "00 02 02", "00 02 03", "00 02 04", "00 02 05", "00 03"} {
		if got := b.guest(ask); got != "c0" {
			t.Errorf("%s that may be tried again: %s", ask, got)
		}
	}
	b.vm.on = true
	if got := b.guest("00 01"); got != "00 21 00 40 70" {
		t.Errorf("status of a VM that is on: %s", got)
	}
}

// Whoever speaks over the bus and is not the shelf is operator at most, and
// what guests say is checked here again.
func TestDeliveredPrivilege(t *testing.T) {
	for _, c := range []struct {
		name    string
		from    ipmb.Addr
		speaker ipmb.Speaker
		ask     ipmb.Frame
		want    ipmb.CompletionCode
	}{
		{"shelf sets the receiver", 0x20, ipmb.SpeakerController, request(self, 0, 4, 0, 0x20, 0), ipmb.OK},
		{"a neighbour does not", other, ipmb.SpeakerController, request(self, 0, 4, 0, 0x84, 0), ipmb.ErrPrivilege},
		{"a guest does not", other, ipmb.SpeakerGuest, request(self, 0, 4, 0, 0x84, 0), ipmb.ErrPrivilege},
		{"not even by way of the shelf", 0x20, ipmb.SpeakerGuest, request(self, 0, 4, 0, 0x84, 0), ipmb.ErrPrivilege},
		{"a guest reads", other, ipmb.SpeakerGuest, request(self, 0, 0x0A, 0x40), ipmb.OK},
		{"a guest does not clear", other, ipmb.SpeakerGuest, request(self, 0, 0x0A, 0x47, 1, 0, 'C', 'L', 'R', 0xAA), ipmb.ErrPrivilege},
		{"nor power off", other, ipmb.SpeakerGuest, request(self, 0, 0, 2, 0), ipmb.ErrPrivilege},
		{"nor take power", other, ipmb.SpeakerGuest, request(self, 0, 0x2C, 0x11, 0, 0, 0, 0), ipmb.ErrPrivilege},
		{"nor does a session at another's door", other, ipmb.SpeakerSession, request(self, 0, 0, 2, 0), ipmb.ErrPrivilege},
		{"which reads", other, ipmb.SpeakerSession, request(self, 0, 0x0A, 0x40), ipmb.OK},
		{"nor read its messages", other, ipmb.SpeakerController, request(self, 0, 6, 0x33), ipmb.ErrPrivilege},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := newBoard(t, ProfileATCA)
			c.ask.From = c.from
			b.Deliver(t.Context(), ipmb.Message{
				ID: 7, Instance: "other", Frame: c.ask,
				Origin: ipmb.Origin{Speaker: c.speaker, Privilege: ipmb.PrivilegeAdmin},
			})
			got := b.bus.wait(t, 1)[0]
			r, ok := got.Frame.Response()
			if !ok || r.Code != c.want || got.ID != 7 || got.Instance != "other" || got.Frame.To != c.from {
				t.Errorf("answer %s (id %d of %s), want %v", got.Frame, got.ID, got.Instance, c.want)
			}
			if calls := b.vm.took(); len(calls) > 0 {
				t.Errorf("did %q", calls)
			}
		})
	}
}
