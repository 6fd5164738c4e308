package mc_test

import (
	"context"
	"encoding/binary"
	"testing"
	"time"

	"github.com/midplane-project/midplane/ipmb"
	"github.com/midplane-project/midplane/ipmb/mc"
)

// memorySEL is a log without bounds whose clock stands still.
type memorySEL struct {
	rows   []mc.SELEntry
	next   uint16
	erased uint16
	now    time.Time
}

func newSEL() *memorySEL { return &memorySEL{next: 1, now: time.Unix(0x5F000000, 0)} }

func (s *memorySEL) find(id uint16) int {
	switch {
	case len(s.rows) == 0:
		return -1
	case id == 0:
		return 0
	case id == 0xFFFF:
		return len(s.rows) - 1
	}
	for i := range s.rows {
		if s.rows[i].ID() == id {
			return i
		}
	}
	return -1
}

func (s *memorySEL) SELInfo(context.Context) (mc.SELInfo, error) {
	return mc.SELInfo{Entries: uint16(len(s.rows)), Free: 0x100, Reservation: s.erased + 1}, nil
}

func (s *memorySEL) SELGet(_ context.Context, id uint16) (mc.SELEntry, uint16, error) {
	i := s.find(id)
	if i < 0 {
		return mc.SELEntry{}, 0, ipmb.ErrNotPresent
	}
	if i+1 == len(s.rows) {
		return s.rows[i], 0xFFFF, nil
	}
	return s.rows[i], s.rows[i+1].ID(), nil
}

func (s *memorySEL) SELAdd(_ context.Context, _ *ipmb.Request, e mc.SELEntry) (uint16, error) {
	e.Stamp(s.next, s.now)
	s.rows = append(s.rows, e)
	s.next++
	return e.ID(), nil
}

func (s *memorySEL) SELDelete(_ context.Context, _ *ipmb.Request, id uint16) (uint16, error) {
	i := s.find(id)
	if i < 0 {
		return 0, ipmb.ErrNotPresent
	}
	id = s.rows[i].ID()
	s.rows = append(s.rows[:i], s.rows[i+1:]...)
	s.erased++
	return id, nil
}

func (s *memorySEL) SELClear(context.Context, *ipmb.Request) error {
	s.rows, s.erased = nil, s.erased+1
	return nil
}

func (s *memorySEL) SELTime(context.Context) time.Time { return s.now }

func (s *memorySEL) SELSetTime(_ context.Context, _ *ipmb.Request, t time.Time) error {
	s.now = t
	return nil
}

const (
	system = "0000 02 00000000 2000 04 01 30 01 59 FFFF"
	plain  = "0000 F0 01020304050607080910111213"
)

func TestSELDevice(t *testing.T) {
	m := ipmb.NewMux(mc.SELCommands(newSEL()))
	run(t, m, admin, []exchange{
		{"info, never written", "0A 40", "00 51 0000 0010 FFFFFFFF FFFFFFFF 0B"},
		{"empty", "0A 43 0000 0000 00 FF", "CB"},
		{"add", "0A 44" + system, "00 0100"},
		{"add without time", "0A 44" + plain, "00 0200"},
		{"add nothing", "0A 44 0000 00" + "00000000000000000000000000", "CC"},
		{"add too short", "0A 44 0000", "C7"},
		{"first is stamped", "0A 43 0000 0000 00 FF", "00 0200 0100 02 0000005F 2000 04 01 30 01 59 FFFF"},
		{"last keeps its bytes", "0A 43 0000 FFFF 00 FF", "00 FFFF 0200 F0 01020304050607080910111213"},
		{"part, reserved", "0A 43 0100 0200 02 02", "00 FFFF F001"},
		{"part, no reservation", "0A 43 0000 0200 02 02", "C5"},
		{"past the end", "0A 43 0100 0200 10 01", "C9"},
		{"too much", "0A 43 0000 0200 00 11", "CA"},
		{"allocation", "0A 41", "00 0201 1000 0001 0001 01"},
		{"reserve", "0A 42", "00 0100"},
		{"reserve again, the same", "0A 42", "00 0100"},
		{"delete", "0A 46 0100 0100", "00 0100"},
		{"delete with the old reservation", "0A 46 0100 0200", "C5"},
		{"delete what is gone", "0A 46 0000 0100", "CB"},
		{"clear without reservation", "0A 47 0000 434C52 AA", "C5"},
		{"clear without the word", "0A 47 0200 434C00 AA", "CC"},
		{"clear, bad action", "0A 47 0200 434C52 11", "CC"},
		{"clear", "0A 47 0200 434C52 AA", "00 01"},
		{"status", "0A 47 0000 434C52 00", "00 01"},
		{"time", "0A 48", "00 0000005F"},
		{"set time", "0A 49 04030201", "00"},
		{"read back", "0A 48", "00 04030201"},
		{"set time to unspecified", "0A 49 FFFFFFFF", "CC"},
	})
}

// What a server's SEL device has beside the log.
func TestSELDeviceCommands(t *testing.T) {
	kept := &mc.MemoryRecords{}
	m := ipmb.NewMux(mc.SELDeviceCommands(newSEL(), kept))
	run(t, m, admin, []exchange{
		{"info says partial add", "0A 40", "00 51 0000 0010 FFFFFFFF FFFFFFFF 0F"},
		{"in one piece", "0A 45 0000 0000 00 01" + plain, "00 0100"},
		{"begun without reservation", "0A 45 0000 0000 00 00 0000 F0 0102", "00 0200"},
		{"not in order", "0A 45 0100 0200 04 00 03", "C9"},
		{"goes on without reservation", "0A 45 0000 0200 05 00 03", "C5"},
		{"with another", "0A 45 0200 0200 05 00 03", "C5"},
		{"another's id", "0A 45 0100 0300 05 00 03", "CB"},
		{"neither more nor the last", "0A 45 0100 0200 05 02 03", "CC"},
		{"nothing in it", "0A 45 0100 0200 05 00", "C7"},
		{"more than a record", "0A 45 0100 0200 05 01 000000000000000000000000", "C9"},
		{"another piece", "0A 45 0100 0200 05 00 03040506", "00 0200"},
		{"adding in between is no harm", "0A 44" + system, "00 0200"},
		{"the last", "0A 45 0100 0200 09 01 07080910111213", "00 0300"},
		{"read back", "0A 43 0000 0300 00 FF", "00 FFFF 0300 F0 01020304050607080910111213"},
		{"it is over", "0A 45 0100 0200 10 01 00", "CB"},
		{"too short for a record", "0A 45 0000 0000 00 01 0000 F0 0102", "80"},
		{"a type that is none", "0A 45 0000 0000 00 01 0000 00 01020304050607080910111213", "CC"},
		{"begun", "0A 45 0100 0000 00 00 0000 F0 0102", "00 0500"},
		{"begun anew", "0A 45 0100 0000 00 00 0000 F0 0102", "00 0600"},
		{"the first is lost", "0A 45 0100 0500 05 00 03", "CB"},
		{"delete", "0A 46 0100 0100", "00 0100"},
		{"which cancels what was begun", "0A 45 0200 0600 05 00 03", "C5"},
		{"for good", "0A 45 0200 0600 05 00 03", "CB"},

		{"no machine check log yet", "0A 5A 00", "CB"},
		{"told of one", "0A 5B 00 01020304 02000000", "00"},
		{"read back", "0A 5A 00", "00 01020304 02000000"},
		{"no OEM log", "0A 5A 01", "CB"},
		{"told of both", "0A 5B 01 01020304 5A3100 0102030405060708", "00"},
		{"told of both", "0A 5B 02 05060708 5A3100 1112131415161718", "00"},
		{"read back", "0A 5A 01", "00 01020304 5A3100 0102030405060708"},
		{"read back", "0A 5A 02", "00 05060708 5A3100 1112131415161718"},
		{"no such log", "0A 5A 03", "CC"},
		{"reserved bits", "0A 5A 10", "CC"},
		{"no such log", "0A 5B 03 00", "CC"},
		{"machine check log as an OEM's", "0A 5B 00 01020304 5A3100 0102030405060708", "C7"},
		{"OEM's as machine check log", "0A 5B 01 01020304 02000000", "C7"},

		{"nobody knows", "0A 5C", "00 FF07"},
		{"two hours east", "0A 5D 7800", "00"},
		{"read back", "0A 5C", "00 7800"},
		{"a day is the most", "0A 5D A005", "00"},
		{"more", "0A 5D A105", "C9"},
		{"a day less", "0A 5D 60FA", "00"},
		{"more than that", "0A 5D 5FFA", "C9"},
		{"read back", "0A 5C", "00 60FA"},
		{"unspecified", "0A 5D FF07", "00"},
		{"read back", "0A 5C", "00 FF07"},
	})
	m = ipmb.NewMux(mc.SELDeviceCommands(newSEL(), kept))
	run(t, m, admin, []exchange{
		{"kept over a restart", "0A 5A 02", "00 05060708 5A3100 1112131415161718"}, {"kept", "0A 5C", "00 FF07"},
	})
}

func TestSELStampsOnlyTypesWithTime(t *testing.T) {
	for _, tt := range []struct {
		kind    byte
		stamped bool
	}{{0x02, true}, {0xC0, true}, {0xDF, true}, {0xE0, false}, {0xFF, false}} {
		e := mc.SELEntry{2: tt.kind}
		e.Stamp(7, time.Unix(0x01020304, 0))
		if got := binary.LittleEndian.Uint32(e[3:]) == 0x01020304; got != tt.stamped || e.ID() != 7 {
			t.Errorf("type %02x: stamped %v, id %d", tt.kind, got, e.ID())
		}
	}
}

func FuzzRows(f *testing.F) {
	f.Add([]byte{0x0A, 0x43, 0, 0, 0, 0, 0, 0xFF})
	f.Add([]byte{0x0A, 0x23, 0, 0, 0, 0, 0, 0xFF})
	f.Add([]byte{0x0A, 0x24, 0, 0, 0x51, 0x12, 0})
	f.Add([]byte{0x0A, 0x25, 0, 0, 0, 0, 0, 1, 0, 0, 0x51, 0xC0, 3, 1, 2, 3})
	f.Add([]byte{0x0A, 0x45, 0, 0, 0, 0, 0, 0, 1})
	f.Add([]byte{0x06, 0x42, 0x0E})
	f.Fuzz(func(t *testing.T, rq []byte) {
		if len(rq) < 2 {
			return
		}
		r := newRepository(t)
		m := ipmb.NewMux(mc.SELDeviceCommands(newSEL(), r.kept), r.SDRRepository.Commands(), mc.Channels{mc.IPMBChannel}.Commands(),
			mc.NewEventReceiver(mc.Receiver{}, func(mc.Receiver) error { return nil }).Commands())
		rs := m.ServeIPMI(t.Context(), &ipmb.Request{NetFn: ipmb.NetFn(rq[0] & 0x3F), Cmd: ipmb.Cmd(rq[1]), Data: rq[2:], Origin: admin})
		if rs.Code == ipmb.ErrUnspecified || len(rs.Data) > 2+240 || (rs.Code != 0 && len(rs.Data) > 0) {
			t.Fatalf("% x answers %02x % x", rq, byte(rs.Code), rs.Data)
		}
	})
}
