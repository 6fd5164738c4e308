package node

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/midplane-project/midplane/ipmb"
	"github.com/midplane-project/midplane/ipmb/mc"
)

// lan asks as a session of the LAN door's does.
func (b *board) lan(p ipmb.Privilege, request string) string {
	b.t.Helper()
	return b.ask(ipmb.Origin{
		Speaker: ipmb.SpeakerSession, Door: ipmb.DoorLAN, Channel: mc.LANChannel.Number, Privilege: p,
		Shelf: b.id.Shelf, Source: b.id.Addr, Session: 5,
	}, request)
}

// S10: what a session may not do, it may not by Send Message either, however
// deep it wraps it, nor at another controller.
func TestBridgedPrivilege(t *testing.T) {
	b := newBoard(t, ProfileATCA)
	b.vm.on = true
	wrap := func(f ipmb.Frame) []byte {
		raw, err := f.AppendBinary(nil)
		if err != nil {
			t.Fatal(err)
		}
		data, err := ipmb.SendMessage{Tracking: ipmb.TrackRequest, Message: raw}.AppendBinary(nil)
		if err != nil {
			t.Fatal(err)
		}
		return data
	}
	once := wrap(request(self, 0, 0, 2, 0))
	twice := wrap(request(self, 0, 6, 0x34, once...))
	for _, data := range [][]byte{once, twice} {
		got := b.lan(ipmb.PrivilegeUser, fmt.Sprintf("06 34 % x", data))
		if !strings.HasPrefix(got, "00 ") || !strings.Contains(got, " 02 d4 ") {
			t.Errorf("user: %s", got)
		}
	}
	if calls := b.vm.took(); len(calls) > 0 {
		t.Errorf("did %q", calls)
	}
	if got := b.lan(ipmb.PrivilegeOperator, fmt.Sprintf("06 34 % x", once)); !strings.Contains(got, " 02 00 ") {
		t.Errorf("operator: %s", got)
	}
	if calls := strings.Join(b.vm.took(), " "); calls != "off" {
		t.Errorf("operator did %q", calls)
	}
}

// Who is administrator here is nobody elsewhere, and by way of this controller
// neither.
func TestBridgedByTheOwnController(t *testing.T) {
	b := newBoard(t, ProfileATCA)
	off := request(other, 0, 0, 2, 0)
	for deep, f := range []ipmb.Frame{off, wrap(t, self, off), wrap(t, self, wrap(t, self, off)), wrap(t, self, wrap(t, third, off))} {
		raw, err := f.AppendBinary([]byte{0x40})
		if err != nil {
			t.Fatal(err)
		}
		if got := b.lan(ipmb.PrivilegeAdmin, fmt.Sprintf("06 34 % x", raw)); !strings.Contains(got, "d4") {
			t.Errorf("%d: %s", deep, got)
		}
	}
	if sent := b.bus.messages(); len(sent) > 0 {
		t.Errorf("sent %v", sent)
	}
}

// The administrator is made once, with a password of his own.
func TestFirstAdmin(t *testing.T) {
	cfg := lone(t)
	cfg.LAN.Listen = "127.0.0.1:0"
	path := filepath.Join(cfg.Dir, LANPasswordFile)
	start := func() (string, error) {
		t.Helper()
		r := run(t, cfg, nil)
		connect(t, cfg) // the VM's door opens with the LAN's
		a, err := r.controller.access.users.Account(mc.LANChannel.Number, LANUser, ipmb.PrivilegeAdmin)
		if _, err := r.own(0x45, append([]byte{lanUserID}, make([]byte, mc.UserNameLen)...)...); err != nil {
			t.Error(err)
		}
		if err := r.end(); err != nil {
			t.Error(err)
		}
		return strings.TrimRight(string(a.Password), "\x00"), err
	}
	password, err := start()
	if err != nil {
		t.Fatal(err)
	}
	file, err := os.ReadFile(path)
	if err != nil || strings.TrimSpace(string(file)) != password || len(password) != passwordLength {
		t.Errorf("file has %d bytes, password %d, %v", len(file), len(password), err)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Error(info, err)
	}
	if _, err := start(); err == nil {
		t.Error("who was deleted is there again")
	}
}
