package mc_test

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/midplane-project/midplane/ipmb"
	"github.com/midplane-project/midplane/ipmb/mc"
)

// actor cannot be at an odd address.
type actor struct{ told []string }

func (a *actor) Check(uint8, []byte) error { return nil }

func (a *actor) Changed(number uint8) { a.told = append(a.told, fmt.Sprint("changed ", number)) }

func (a *actor) Prepare(changed []uint8, get func(number, set uint8) []byte) (func(bool), error) {
	to := get(mc.LANAddress, 0)
	if to[3]&1 != 0 {
		return nil, ipmb.ErrState
	}
	return func(kept bool) { a.told = append(a.told, fmt.Sprint(changed, to, kept)) }, nil
}

func (a *actor) took() string {
	told := strings.Join(a.told, ", ")
	a.told = nil
	return told
}

// Who acts by the parameters gets ready before they hold, and may say no.
func TestParameterActor(t *testing.T) {
	s := newSite(t)
	a := new(actor)
	s.lan.Watch(a)
	var refused []string
	s.lan.Refused = func(req *ipmb.Request, err error) {
		refused = append(refused, fmt.Sprintf("%x %02x", req.Data, byte(ipmb.CodeOf(err))))
	}
	run(t, s, admin, []exchange{
		{"odd", "0C 01 01 03 0A000001", "D5"},
		{"even", "0C 01 01 03 0A000002", "00"},
		{"begin", "0C 01 01 00 01", "00"},
		{"nothing happens yet", "0C 01 01 03 0A000003", "00"},
		{"nor here", "0C 01 01 08 7002", "00"},
	})
	if got := s.lan.Shown(mc.LANAddress, 0); got[3] != 3 {
		t.Errorf("shown %v", got)
	}
	if told, want := a.took(), "[3] [10 0 0 2] true, changed 3"; told != want {
		t.Errorf("%s, want %s", told, want)
	}
	run(t, s, admin, []exchange{
		{"commit", "0C 01 01 00 02", "D5"},
		{"still pending", "0C 02 01 03 00 00", "00 11 0A000003"},
		{"mended", "0C 01 01 03 0A000004", "00"},
		{"commit", "0C 01 01 00 02", "00"},
		{"end", "0C 01 01 00 00", "00"},
	})
	if told, want := a.took(), "[3 8] [10 0 0 4] true, changed 3, changed 8"; told != want {
		t.Errorf("%s, want %s", told, want)
	}
	if want := []string{"01030a000001 d5", "010002 d5"}; !slices.Equal(refused, want) {
		t.Errorf("refused %q", refused)
	}
}

// What is not stored does not happen.
func TestParameterActorUndone(t *testing.T) {
	s := newSite(t)
	lan, err := mc.OpenLAN(s.channels.Channels, 1, [6]byte{}, &failingRecords{Records: s.records, err: errors.New("disk full")})
	if err != nil {
		t.Fatal(err)
	}
	a := new(actor)
	lan.Watch(a)
	run(t, ipmb.NewMux(lan.Commands()), admin, []exchange{{"even", "0C 01 01 03 0A000002", "FF"}})
	if told, want := a.took(), "[3] [10 0 0 2] false"; told != want {
		t.Errorf("%s, want %s", told, want)
	}
}

func TestParameterPreset(t *testing.T) {
	s := newSite(t)
	s.lan.Preset(mc.LANAddress, []byte{127, 0, 0, 1})
	run(t, s, admin, []exchange{
		{"preset", "0C 02 01 03 00 00", "00 11 7F000001"},
		{"set", "0C 01 01 03 0A000002", "00"},
		{"read back", "0C 02 01 03 00 00", "00 11 0A000002"},
	})
	if err := s.lan.Unset(mc.LANAddress, mc.LANPort); err != nil {
		t.Fatal(err)
	}
	run(t, s, admin, []exchange{{"preset again", "0C 02 01 03 00 00", "00 11 7F000001"}})
	s.start(t)
	run(t, s, admin, []exchange{{"for ever", "0C 02 01 03 00 00", "00 11 00000000"}})
}

// A door that stays where it is says where, whatever was set before.
func TestFixedLAN(t *testing.T) {
	s := newSite(t)
	run(t, s, admin, []exchange{{"before", "0C 01 01 03 0A000002", "00"}, {"community", "0C 01 01 10" + text("lab", 18), "00"}})
	lan, err := mc.OpenFixedLAN(s.channels.Channels, 1, [6]byte{2}, netip.MustParseAddrPort("127.0.0.1:6230"), s.records)
	if err != nil {
		t.Fatal(err)
	}
	refused := 0
	lan.Refused = func(*ipmb.Request, error) { refused++ }
	run(t, ipmb.NewMux(lan.Commands()), admin, []exchange{
		{"address", "0C 02 01 03 00 00", "00 11 7F000001"},
		{"port", "0C 02 01 08 00 00", "00 11 5618"},
		{"mask", "0C 02 01 06 00 00", "00 11 FF000000"},
		{"source", "0C 02 01 04 00 00", "00 11 01"},
		{"another address", "0C 01 01 03 0A000002", "82"},
		{"another port", "0C 01 01 08 6F02", "82"},
		{"DHCP", "0C 01 01 04 02", "82"},
		{"VLAN", "0C 01 01 14 1180", "82"},
		{"IPv6", "0C 01 01 33 01", "82"},
		{"the rest stays", "0C 02 01 10 00 00", "00 11" + text("lab", 18)},
		{"and is set", "0C 01 01 10" + text("shelf", 18), "00"},
	})
	if refused != 5 {
		t.Errorf("told of %d", refused)
	}
	six, err := mc.OpenFixedLAN(s.channels.Channels, 1, [6]byte{2}, netip.MustParseAddrPort("[2001:db8::1]:623"), new(mc.MemoryRecords))
	if err != nil {
		t.Fatal(err)
	}
	run(t, ipmb.NewMux(six.Commands()), admin, []exchange{
		{"IPv6 alone", "0C 02 01 33 00 00", "00 11 01"},
		{"address", "0C 02 01 38 00 00", "00 11 008020010DB8" + zeros(11) + "01" + "8000"},
	})
}
