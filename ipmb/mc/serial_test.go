package mc_test

import (
	"testing"
	"time"

	"github.com/midplane-project/midplane/ipmb"
	"github.com/midplane-project/midplane/ipmb/mc"
)

// lines are two serial channels with sessions, and one without.
var lines = mc.Channels{
	{Number: 2, Medium: mc.MediumSerial, Protocol: mc.ProtocolTMode, Sessions: true, Single: true},
	{Number: 3, Medium: mc.MediumSerial, Protocol: mc.ProtocolIPMB, Sessions: true, Single: true},
	{Number: 4, Medium: mc.MediumSerial, Protocol: mc.ProtocolIPMB},
}

func openSerial(t *testing.T, channels mc.Channels, r mc.Records) (*mc.Serial, *ipmb.Mux) {
	t.Helper()
	s, err := mc.OpenSerial(channels, r)
	if err != nil {
		t.Fatal(err)
	}
	return s, ipmb.NewMux(s.Commands())
}

func TestSerialParameters(t *testing.T) {
	records := new(mc.MemoryRecords)
	s, mux := openSerial(t, lines, records)
	var rows []exchange
	for number, p := range map[string]struct{ first, good, bad string }{
		"02": {"1414141400", "0014101404", "0014101420"},
		"03": {"84", "81", "04"}, // direct connections only
		"04": {"0A", "04", "1A"},
		"06": {"03", "02", "04"},
		"07": {"000A", "2006", "C006"},
		"1D": {"2411", "2752", "2461"},
	} {
		rows = append(rows,
			exchange{"first", "0C 11 02" + number + "0000", "00 11" + p.first},
			exchange{"refused", "0C 10 02" + number + p.bad, "CC"},
			exchange{"short", "0C 10 02" + number, "C7"},
			exchange{"taken", "0C 10 02" + number + p.good, "00"},
			exchange{"read back", "0C 11 02" + number + "0000", "00 11" + p.good},
			exchange{"revision", "0C 11 82" + number + "0000", "00 11"})
	}
	run(t, mux, admin, rows)
	run(t, mux, admin, []exchange{
		{"what there is is fixed", "0C 10 02 01 14", "82"},
		{"MD5 and password", "0C 11 02 01 00 00", "00 11 14"},
		{"PPP", "0C 10 02 03 82", "CC"},
		{"newline of neither kind", "0C 10 02 1D 24 10", "CC"},
		{"delete sequence of neither kind", "0C 10 02 1D 28 11", "CC"},
		{"no modem", "0C 11 02 0A 00 00", "80"},
		{"no modem", "0C 10 02 0A 00", "80"},
		{"the other begins in its mode", "0C 11 03 03 00 00", "00 11 81"},
		{"one without sessions", "0C 11 04 03 00 00", "CC"},
		{"no such channel", "0C 11 05 03 00 00", "CC"},
		{"begun", "0C 10 03 00 01", "00"},
		{"waits for its commit", "0C 10 03 04 01", "00"},
	})
	want := mc.SerialSettings{
		Basic: true, Auth: [5]byte{0, 0x14, 0x10, 0x14, 0x04}, Inactivity: 2 * time.Minute,
		Mode: mc.TerminalMode{Edit: true, Rubout: true, Echo: true, Handshake: true, Out: "\n", In: 0},
	}
	if got, ok := s.Settings(2); !ok || got != want {
		t.Errorf("%+v, want %+v", got, want)
	}
	if got, _ := s.Settings(3); got != mc.DefaultSerialSettings(lines[1]) {
		t.Errorf("before the commit: %+v", got)
	}
	if err := s.Reset(); err != nil {
		t.Fatal(err)
	}
	run(t, mux, admin, []exchange{{"the set has ended", "0C 11 03 00 00 00", "00 11 00"}, {"without commit", "0C 11 03 04 00 00", "00 11 0A"}})

	s, _ = openSerial(t, lines, records)
	if got, _ := s.Settings(2); got != want {
		t.Errorf("kept: %+v, want %+v", got, want)
	}
	changed := mc.Channels{lines[0]}
	changed[0].Protocol = mc.ProtocolIPMB
	s, _ = openSerial(t, changed, records)
	if got, _ := s.Settings(2); got != mc.DefaultSerialSettings(changed[0]) {
		t.Errorf("a port that is given another mode: %+v", got)
	}
	if _, ok := s.Settings(1); ok {
		t.Error("channel 1 is a serial one")
	}
}

func TestTerminalMode(t *testing.T) {
	for first := range 0x100 {
		for second := range 0x100 {
			v := []byte{byte(first), byte(second)}
			m, err := mc.ParseTerminalMode(v)
			if err != nil {
				continue
			}
			if got := m.AppendBinary(nil); string(got) != string(v) {
				t.Errorf("% x became %+v and % x", v, m, got)
			}
		}
	}
	if _, err := mc.ParseTerminalMode([]byte{0x24}); err == nil {
		t.Error("one byte will do")
	}
}

// Who may be called back only, and nobody is, has no more than that by a line.
func TestCallbackOnly(t *testing.T) {
	records := new(mc.MemoryRecords)
	channels, err := mc.OpenChannelAccess(append(mc.Channels{mc.LANChannel}, lines...), records)
	if err != nil {
		t.Fatal(err)
	}
	users, err := mc.OpenUsers(channels, records, mc.NewSealer(func() ([]byte, error) { return sealKey, nil }))
	if err != nil {
		t.Fatal(err)
	}
	mux := ipmb.NewMux(channels.Commands(), users.Commands())
	run(t, mux, admin, []exchange{
		{"open the LAN channel", "06 40 01 82 84", "00"},
		{"name", "06 45 02" + text("bob", 16), "00"},
		{"password", "06 47 02 02" + text("secret", 16), "00"},
		{"enable", "06 47 02 01", "00"},
		{"on the line", "06 43 D2 02 04", "00"},
		{"on the LAN", "06 43 D1 02 04", "00"},
	})
	for channel, want := range map[uint8]ipmb.Privilege{1: ipmb.PrivilegeAdmin, 2: ipmb.PrivilegeCallback} {
		if a, err := users.Account(channel, "bob", ipmb.PrivilegeNone); err != nil || a.Limit != want {
			t.Errorf("channel %d: %+v, %v", channel, a, err)
		}
	}
}
