package node

import (
	"testing"

	"github.com/midplane-project/midplane/ipmb"
	"github.com/midplane-project/midplane/ipmb/mc"
)

// A message of a LAN session ends with the node, as its session does; one of a
// serial line waits on.
func TestLANLettersEnd(t *testing.T) {
	eachEnd(t, func(t *testing.T, b *board, restart func()) {
		b.Controller.id.VM = true
		ask := b.forSoftware()
		f := ipmb.Frame{To: 0x20, NetFn: 0x30, ToLUN: ipmb.LUNSMS, From: 0x81, Seq: 7, Cmd: 1}
		if !ask(ipmb.PrivilegeOperator, 5, f) || !ask(ipmb.PrivilegeUser, 6, f) || !b.mail.pushLine(firstSerialChannel, ipmb.PrivilegeUser, 0, f) {
			t.Fatal("no room")
		}
		if got, want := b.guest("06 33"), "00 31 05 20 c2 1e 81 1c 01 62"; got != want {
			t.Errorf("Get Message: %s, want %s", got, want)
		}
		restart()
		b.wantAnswers(map[string]string{"06 33": "00 22 00 20 c2 1e 81 1c 01 62"})
		b.wantAnswers(map[string]string{"06 33": "80"})
	})
}

// Where there is no guest nobody hears LUN 2, and the controller says so.
func TestNoSoftware(t *testing.T) {
	c := &Controller{id: Identity{Profile: ProfileFanTray}}
	if c.forSoftware() != nil {
		t.Error("a fan tray has software")
	}
	b := newBoard(t, ProfileATCA)
	r := b.Handler().ServeIPMI(t.Context(), &ipmb.Request{
		NetFn: ipmb.NetFnApp, LUN: ipmb.LUNSMS, Cmd: 1,
		Origin: ipmb.Origin{Speaker: ipmb.SpeakerSession, Door: ipmb.DoorLAN, Channel: mc.LANChannel.Number, Privilege: ipmb.PrivilegeAdmin},
	})
	if r.Code != ipmb.ErrInvalidForLUN {
		t.Errorf("LUN 2 of the controller: %v", r.Code)
	}
}
