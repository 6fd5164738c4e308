package ipmb_test

import (
	"bytes"
	"context"
	"errors"
	"testing"

	"github.com/midplane-project/midplane/ipmb"
)

func echo(_ context.Context, req *ipmb.Request) ([]byte, error) { return req.Data, nil }

func fail(err error) func(context.Context, *ipmb.Request) ([]byte, error) {
	return func(context.Context, *ipmb.Request) ([]byte, error) { return []byte("never seen"), err }
}

const (
	app   = ipmb.NetFnApp
	group = ipmb.NetFnGroup
	oem   = ipmb.NetFnOEM
)

func testMux() *ipmb.Mux {
	return ipmb.NewMux([]ipmb.Command{
		{Name: "open", NetFn: app, Cmd: 0x01, Do: echo},
		{Name: "user", NetFn: app, Cmd: 0x02, Privilege: ipmb.PrivilegeUser, Data: ipmb.Between(1, 3), Do: echo},
		{Name: "admin", NetFn: app, Cmd: 0x03, Privilege: ipmb.PrivilegeAdmin, Data: ipmb.Exactly(2), Do: echo},
		{Name: "system", NetFn: app, Cmd: 0x04, Access: ipmb.SystemOnly, Data: ipmb.AtLeast(0), Do: echo},
		{Name: "not guest", NetFn: app, Cmd: 0x05, Access: ipmb.NotGuest, Do: echo},
		{Name: "any LUN", NetFn: app, Cmd: 0x06, AnyLUN: true, Do: echo},
		{Name: "busy", NetFn: app, Cmd: 0x07, Do: fail(ipmb.ErrBusy)},
		{Name: "broken", NetFn: app, Cmd: 0x08, Do: fail(errors.New("disk"))},
	}, []ipmb.Command{
		{Name: "picmg", NetFn: group, Body: ipmb.BodyPICMG, Cmd: 0x01, Data: ipmb.Between(0, 1), Do: echo},
		{Name: "dcmi", NetFn: group, Body: ipmb.BodyDCMI, Cmd: 0x01, Do: fail(ipmb.ErrState)},
		{Name: "oem", NetFn: oem, Body: 0x400A, Cmd: 0x01, Data: ipmb.AtLeast(1), Do: echo},
	})
}

func TestMux(t *testing.T) {
	user := ipmb.Origin{Speaker: ipmb.SpeakerSession, Door: ipmb.DoorLAN, Privilege: ipmb.PrivilegeUser}
	guest := ipmb.Origin{Speaker: ipmb.SpeakerGuest, Door: ipmb.DoorSystem, Privilege: ipmb.PrivilegeAdmin}
	far := ipmb.Origin{Speaker: ipmb.SpeakerGuest, Door: ipmb.DoorIPMB, Privilege: ipmb.PrivilegeOperator}
	for _, c := range []struct {
		name  string
		netFn ipmb.NetFn
		lun   ipmb.LUN
		cmd   ipmb.Cmd
		data  []byte
		from  ipmb.Origin
		code  ipmb.CompletionCode
		want  []byte
	}{
		{"open to all", app, 0, 1, nil, ipmb.Origin{}, ipmb.OK, nil},
		{"no data wanted", app, 0, 1, []byte{1}, guest, ipmb.ErrLength, nil},
		{"unknown command", app, 0, 0x77, nil, guest, ipmb.ErrInvalidCommand, nil},
		{"unknown network function", 0x30, 0, 1, nil, guest, ipmb.ErrInvalidCommand, nil},
		{"a response", app.Response(), 0, 1, nil, guest, ipmb.ErrInvalidCommand, nil},
		{"wrong LUN", app, 2, 1, nil, guest, ipmb.ErrInvalidForLUN, nil},
		{"any LUN", app, 3, 6, nil, guest, ipmb.OK, nil},
		{"user", app, 0, 2, []byte{1}, user, ipmb.OK, []byte{1}},
		{"too short", app, 0, 2, nil, user, ipmb.ErrLength, nil},
		{"too long", app, 0, 2, []byte{1, 2, 3, 4}, user, ipmb.ErrLength, nil},
		{"callback is no user", app, 0, 2, []byte{1}, ipmb.Origin{Privilege: ipmb.PrivilegeCallback}, ipmb.ErrPrivilege, nil},
		{"user is no admin", app, 0, 3, []byte{1, 2}, user, ipmb.ErrPrivilege, nil},
		{"privilege before length", app, 0, 3, nil, user, ipmb.ErrPrivilege, nil},
		{"own guest is admin", app, 0, 3, []byte{1, 2}, guest, ipmb.OK, []byte{1, 2}},
		{"system door", app, 0, 4, []byte{1}, guest, ipmb.OK, []byte{1}},
		{"the daemon itself", app, 0, 4, nil, ipmb.Origin{Door: ipmb.DoorInternal}, ipmb.OK, nil},
		{"system only, by LAN", app, 0, 4, nil, user, ipmb.ErrPrivilege, nil},
		{"system only, by another's guest", app, 0, 4, nil, far, ipmb.ErrPrivilege, nil},
		{"never for guests", app, 0, 5, nil, far, ipmb.ErrPrivilege, nil},
		{"never for the own guest", app, 0, 5, nil, guest, ipmb.ErrPrivilege, nil},
		{"for sessions", app, 0, 5, nil, user, ipmb.OK, nil},
		{"code", app, 0, 7, nil, user, ipmb.ErrBusy, nil},
		{"other error", app, 0, 8, nil, user, ipmb.ErrUnspecified, nil},
		{"body is echoed", group, 0, 1, []byte{0x00}, user, ipmb.OK, []byte{0x00}},
		{"body and data", group, 0, 1, []byte{0x00, 0x07}, user, ipmb.OK, []byte{0x00, 0x07}},
		{"body with an error", group, 0, 1, []byte{0xDC}, user, ipmb.ErrState, []byte{0xDC}},
		{"body with a wrong length", group, 0, 1, []byte{0x00, 1, 2}, user, ipmb.ErrLength, []byte{0x00}},
		{"no body", group, 0, 1, nil, user, ipmb.ErrLength, nil},
		{"unknown body", group, 0, 1, []byte{0x03}, user, ipmb.ErrInvalidCommand, nil},
		{"enterprise", oem, 0, 1, []byte{0x0A, 0x40, 0x00, 9}, user, ipmb.OK, []byte{0x0A, 0x40, 0x00, 9}},
		{"half an enterprise", oem, 0, 1, []byte{0x0A, 0x40}, user, ipmb.ErrLength, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			req := &ipmb.Request{NetFn: c.netFn, LUN: c.lun, Cmd: c.cmd, Data: c.data, Origin: c.from}
			got := testMux().ServeIPMI(t.Context(), req)
			if got.Code != c.code || !bytes.Equal(got.Data, c.want) {
				t.Errorf("got %02x % x, want %02x % x", uint8(got.Code), got.Data, uint8(c.code), c.want)
			}
		})
	}
}

func TestMuxTables(t *testing.T) {
	m := testMux()
	if !m.Has(group, ipmb.BodyDCMI, 1) || m.Has(group, ipmb.BodyVITA, 1) {
		t.Error("Has does not tell bodies apart")
	}
	if c := m.Lookup(oem, 1, []byte{0x0A, 0x40, 0x00}); c == nil || c.Name != "oem" {
		t.Errorf("Lookup = %v", c)
	}
	var names []string
	for _, c := range m.Commands() {
		names = append(names, c.Name)
	}
	if len(names) != 11 || names[0] != "open" || names[8] != "picmg" || names[9] != "dcmi" || names[10] != "oem" {
		t.Errorf("Commands = %q", names)
	}
	for name, rows := range map[string][]ipmb.Command{
		"twice":            {{Cmd: 1, Do: echo}, {Cmd: 1, Do: echo}},
		"without function": {{Cmd: 1}},
	} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("a row %s was registered", name)
				}
			}()
			ipmb.NewMux(rows)
		}()
	}
}

// Any request gets a response, and only a permitted one reaches its function.
func FuzzMux(f *testing.F) {
	f.Add(uint8(6), uint8(0), uint8(1), uint8(4), uint8(1), uint8(1), []byte{})
	f.Add(uint8(0x2C), uint8(0), uint8(1), uint8(4), uint8(0), uint8(0), []byte{0})
	m := testMux()
	f.Fuzz(func(t *testing.T, netFn, lun, cmd, privilege, door, speaker uint8, data []byte) {
		req := &ipmb.Request{NetFn: ipmb.NetFn(netFn), LUN: ipmb.LUN(lun), Cmd: ipmb.Cmd(cmd), Data: data, Origin: ipmb.Origin{
			Privilege: ipmb.Privilege(privilege), Door: ipmb.Door(door), Speaker: ipmb.Speaker(speaker),
		}}
		got := m.ServeIPMI(t.Context(), req)
		row := m.Lookup(req.NetFn, req.Cmd, data)
		if got.Code != ipmb.OK {
			return
		}
		switch {
		case row == nil:
			t.Fatal("served without a row")
		case privilege < uint8(row.Privilege), lun != 0 && !row.AnyLUN:
			t.Fatalf("%s served with privilege %d on LUN %d", row.Name, privilege, lun)
		case row.Access == ipmb.SystemOnly && req.Origin.Door > ipmb.DoorSystem, row.Access == ipmb.NotGuest && req.Origin.Speaker == ipmb.SpeakerGuest:
			t.Fatalf("%s served to %+v", row.Name, req.Origin)
		case !bytes.Equal(got.Data, data):
			t.Fatalf("% x was echoed as % x", data, got.Data)
		}
	})
}
