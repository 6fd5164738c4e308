package node

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/midplane-project/midplane/ipmb"
	"github.com/midplane-project/midplane/ipmb/mc"
	"github.com/midplane-project/midplane/node/vm"
)

// The doors that requests come by.
const (
	fuzzGuest     = iota // the own guest
	fuzzSession          // a session on the LAN, of any privilege
	fuzzAPI              // the node's API
	fuzzShelf            // the shelf manager, over the bus
	fuzzNeighbour        // another guest, over the bus
	fuzzDoors
)

const (
	// fuzzWithin is when an answer must be there, whatever the machine does
	// beside it: no command waits for anything but the disk and the bus, and
	// that answers at once.
	fuzzWithin = time.Minute
	// fuzzRenew is how many requests one controller gets: what they left in it
	// must not shut the rows to those that follow.
	fuzzRenew = 200
)

// Whoever says whatever at a door gets a completion code that the specification
// has, and no more than the narrowest system interface holds.
func FuzzDoors(f *testing.F) {
	b := newBoard(f, ProfileATCA)
	f.Cleanup(func() { b.t = f })
	rows := b.Commands()
	for _, r := range allRows() {
		raw := unhex(f, r.ask)
		f.Add(uint8(0xFF), raw[0]<<2, raw[1], raw[2:], uint8(fuzzGuest))
	}
	for i, c := range rows {
		f.Add(uint8(i), uint8(0), uint8(0), bytes.Repeat([]byte{0xFF}, c.Data.Min), uint8(i%fuzzDoors))
		f.Add(uint8(i), uint8(0), uint8(0), make([]byte, max(c.Data.Min, c.Data.Max)), uint8((i+1)%fuzzDoors))
	}
	for door := range uint8(fuzzDoors) {
		f.Add(uint8(0xFF), uint8(ipmb.NetFnStorage)<<2, uint8(0x11), []byte{0, 0, 0, 224}, door) // the longest answer
		for _, to := range []ipmb.Addr{self, other, third} {
			f.Add(uint8(0xFF), uint8(ipmb.NetFnApp)<<2, uint8(ipmb.CmdSendMessage), wrap(f, to, getDeviceID(to, 1)).Data, door)
		}
	}
	n := 0
	f.Fuzz(func(t *testing.T, row, lun, cmd uint8, data []byte, door uint8) {
		if len(data) > ipmb.MaxFramePayload-3 {
			return
		}
		b.t = t
		if n%fuzzRenew == 0 {
			b.renew()
		}
		n++
		req := &ipmb.Request{NetFn: ipmb.NetFn(lun>>2) &^ 1, LUN: ipmb.LUN(lun & 3), Cmd: ipmb.Cmd(cmd), Data: data}
		if int(row) < len(rows) {
			c := rows[row]
			req.NetFn, req.Cmd, req.Data = c.NetFn, c.Cmd, append(ipmb.AppendBody(nil, c.NetFn, c.Body), data...)
		}
		b.fuzz(req, door)
	})
}

// renew makes the board as new, on a bus where everybody who is there answers
// at once, and with a second FRU.
func (b *board) renew() {
	b.t.Helper()
	b.stop()
	for _, file := range []string{storeFile, ledgerFile} {
		if err := os.Remove(filepath.Join(b.dir, file)); err != nil {
			b.t.Fatal(err)
		}
	}
	b.bus = newFakeBus()
	b.bus.on(echo)
	b.bus.absent[third] = true
	b.frus = []mc.FRU{{ID: 1, Size: 256, Name: "second"}}
	b.start()
}

// fuzz asks by a door and judges the answer.
func (b *board) fuzz(req *ipmb.Request, door uint8) {
	b.t.Helper()
	ask := fmt.Sprintf("%02x/%02x lun %d % x by door %d", uint8(req.NetFn), uint8(req.Cmd), req.LUN, req.Data, door%fuzzDoors)
	answered := make(chan ipmb.Response, 1)
	go func() { answered <- b.through(door, req) }()
	var r ipmb.Response
	select {
	case r = <-answered:
	case <-time.After(fuzzWithin):
		b.t.Fatalf("%s: no answer in %v", ask, fuzzWithin)
	}
	_, body, _ := ipmb.SplitBody(req.NetFn, r.Data)
	switch {
	case r.Code == ipmb.ErrDestination && door%fuzzDoors == fuzzGuest: // elsewhere it is 83h
	case !fuzzCodes[r.Code] && (r.Code < 0x80 || r.Code > 0xBE):
		b.t.Errorf("%s: %v", ask, r.Code)
	case r.Code != ipmb.OK && len(body) > 0:
		b.t.Errorf("%s: %v with data % x", ask, r.Code, r.Data)
	case len(r.Data) > vm.BT.MaxData():
		b.t.Errorf("%s: %d bytes", ask, len(r.Data))
	}
	c := b.mux.Lookup(req.NetFn, req.Cmd, req.Data)
	if r.Code == ipmb.OK && c != nil && c.Access == ipmb.SystemOnly && door%fuzzDoors != fuzzGuest {
		b.t.Errorf("%s is the own guest's alone", ask)
	}
	b.received() // what came back for the guest
}

// fuzzCodes are the generic codes that may be given by any door. There is no
// firmware update and no time to wait for, and FFh is a bug.
var fuzzCodes = map[ipmb.CompletionCode]bool{
	ipmb.OK: true, ipmb.ErrBusy: true, ipmb.ErrInvalidCommand: true, ipmb.ErrInvalidForLUN: true, ipmb.ErrOutOfSpace: true,
	ipmb.ErrReservation: true, ipmb.ErrLength: true, ipmb.ErrTooLong: true, ipmb.ErrParameterRange: true,
	ipmb.ErrCannotReturn: true, ipmb.ErrNotPresent: true, ipmb.ErrInvalidField: true, ipmb.ErrIllegal: true,
	ipmb.ErrSDRUpdate: true, ipmb.ErrPrivilege: true, ipmb.ErrState: true, ipmb.ErrDisabled: true,
}

// through asks by a door and waits for the answer.
func (b *board) through(door uint8, req *ipmb.Request) ipmb.Response {
	api := ipmb.Origin{Speaker: ipmb.SpeakerAPI, Door: ipmb.DoorAPI, Channel: ipmb.ChannelSystem, Privilege: ipmb.PrivilegeAdmin, Source: self}
	session := ipmb.Origin{Speaker: ipmb.SpeakerSession, Door: ipmb.DoorLAN, Channel: 1, Privilege: ipmb.Privilege(door / fuzzDoors % 6), Source: self}
	switch door % fuzzDoors {
	case fuzzGuest:
		req.Origin = b.origin()
	case fuzzSession:
		req.Origin = session
	case fuzzAPI:
		req.Origin = api
	case fuzzShelf:
		return b.overBus(ipmb.AddrShelfManager, ipmb.SpeakerController, req)
	case fuzzNeighbour:
		return b.overBus(other, ipmb.SpeakerGuest, req)
	}
	return b.Handler().ServeIPMI(context.Background(), req)
}

// overBus sends a request as a frame of another controller's and waits for the
// frame that answers it. Guest software answers nothing here.
func (b *board) overBus(from ipmb.Addr, speaker ipmb.Speaker, req *ipmb.Request) ipmb.Response {
	if req.LUN == ipmb.LUNSMS {
		req.LUN = ipmb.LUNBMC
	}
	at := len(b.bus.messages())
	m := ipmb.Message{
		ID: uint64(at) + 1, Instance: "fuzz", Frame: ipmb.RequestFrame(self, from, 0, uint8(at), req),
		Origin: ipmb.Origin{Speaker: speaker, Privilege: ipmb.PrivilegeAdmin},
	}
	b.Deliver(context.Background(), m)
	for ; ; at++ {
		got := b.bus.wait(b.t, at+1)[at]
		if r, ok := got.Frame.Response(); ok && got.ID == m.ID && got.Instance == m.Instance {
			return r
		}
	}
}

// What a kill or a stranger left in the ledger is taken or dropped.
func FuzzLeft(f *testing.F) {
	m := ipmb.Message{ID: 1, Instance: "other", Frame: getDeviceID(other, 5)}
	f.Add(appendAsk(nil, askKey{other, 2, 5}, m, time.Unix(1, 0)))
	f.Add(appendAsked(nil, m, time.Unix(1, 0)))
	f.Add([]byte{0, 1, 2})
	f.Fuzz(func(t *testing.T, payload []byte) {
		b := &asks{self: self}
		if k, m, at, err := b.parse(payload); err == nil {
			again, m2, at2, err := b.parse(appendAsk(nil, k, m, at))
			if err != nil || again != k || m2.ID != m.ID || !at2.Equal(at) {
				t.Errorf("ask % x: %v", payload, err)
			}
		}
		if m, at, err := parseAsked(payload); err == nil {
			if m2, at2, err := parseAsked(appendAsked(nil, m, at)); err != nil || m2.ID != m.ID || m2.Instance != m.Instance || !at2.Equal(at) {
				t.Errorf("asked % x: %v", payload, err)
			}
		}
	})
}
