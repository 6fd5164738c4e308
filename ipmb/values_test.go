package ipmb_test

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/midplane-project/midplane/ipmb"
)

func TestAddr(t *testing.T) {
	for slot, want := range map[int]ipmb.Addr{1: 0x82, 2: 0x84, 16: 0xA0} {
		a := ipmb.SlotAddr(slot)
		if a != want || a.Slot() != slot || ipmb.AddrFromHW(a.HW()) != a {
			t.Errorf("slot %d: %s, hardware address %02x, slot %d", slot, a, a.HW(), a.Slot())
		}
	}
	if s := ipmb.AddrShelfManager.Slot(); s != 0 {
		t.Errorf("20h is in slot %d", s)
	}
	for s, want := range map[string]ipmb.Addr{"0x84": 0x84, "84h": 0x84, "84H": 0x84, "132": 0x84, "0x20": 0x20} {
		if a, err := ipmb.ParseAddr(s); err != nil || a != want {
			t.Errorf("%q = %s, %v", s, a, err)
		}
	}
	for _, s := range []string{"", "0x", "h", "0x85", "0", "0x100", "-2", "blade1"} {
		if a, err := ipmb.ParseAddr(s); err == nil {
			t.Errorf("%q = %s", s, a)
		}
	}
}

func TestCodeOf(t *testing.T) {
	for _, c := range []struct {
		err  error
		want ipmb.CompletionCode
	}{
		{nil, ipmb.OK},
		{ipmb.ErrPrivilege, ipmb.ErrPrivilege},
		{fmt.Errorf("set power: %w", ipmb.ErrState), ipmb.ErrState},
		{fmt.Errorf("raft: %w", context.DeadlineExceeded), ipmb.ErrTimeout},
		{errors.New("disk"), ipmb.ErrUnspecified},
	} {
		if got := ipmb.CodeOf(c.err); got != c.want {
			t.Errorf("%v: %02x, want %02x", c.err, uint8(got), uint8(c.want))
		}
	}
}

func TestStrings(t *testing.T) {
	for _, c := range []struct {
		got  fmt.Stringer
		want string
	}{
		{ipmb.ErrPrivilege, "insufficient privilege level"},
		{ipmb.CompletionCode(0x12), "OEM code 0x12"},
		{ipmb.CompletionCode(0x83), "command-specific code 0x83"},
		{ipmb.CompletionCode(0xD9), "reserved code 0xd9"},
		{ipmb.NetFnApp, "App"},
		{ipmb.NetFnApp.Response(), "AppRs"},
		{ipmb.NetFn(0x30), "NetFn(0x30)"},
		{ipmb.PrivilegeAdmin, "admin"},
		{ipmb.Privilege(9), "privilege(9)"},
		{ipmb.DoorSystem, "system"},
		{ipmb.Door(99), "door(99)"},
		{ipmb.SpeakerGuest, "guest"},
		{ipmb.Speaker(99), "speaker(99)"},
		{ipmb.PlaneA, "IPMB-A"},
		{ipmb.PlaneB, "IPMB-B"},
		{ipmb.Addr(0x82), "0x82"},
	} {
		if c.got.String() != c.want {
			t.Errorf("%T: %q, want %q", c.got, c.got, c.want)
		}
	}
	if s := ipmb.ErrNAK.Error(); s != "completion code 0x83: command-specific code 0x83" {
		t.Error(s)
	}
}

func TestBody(t *testing.T) {
	body, rest, ok := ipmb.SplitBody(ipmb.NetFnOEM.Response(), []byte{0x0A, 0x40, 0x00, 0x07})
	if !ok || body != 0x400A || len(rest) != 1 || rest[0] != 7 {
		t.Errorf("OEM: %x, % x, %v", body, rest, ok)
	}
	if b := ipmb.AppendBody(nil, ipmb.NetFnOEM, 0x400A); string(b) != "\x0a\x40\x00" {
		t.Errorf("OEM body = % x", b)
	}
	if _, _, ok := ipmb.SplitBody(ipmb.NetFnOEM, []byte{1, 2}); ok {
		t.Error("two bytes were taken for an enterprise number")
	}
	if b := ipmb.AppendBody(nil, ipmb.NetFnApp, 7); len(b) != 0 {
		t.Errorf("App has body % x", b)
	}
}
