package manager

import (
	"bytes"
	"context"
	"fmt"
	"time"

	"github.com/midplane-project/midplane/ipmb"
	"github.com/midplane-project/midplane/ipmb/mc"
)

// The administrator whom the shelf's LAN door has from its first start.
const (
	LANUser       = "admin"
	lanUserID     = 2
	lanUserRecord = "lan/admin" // there once he was made: who deletes him does not get him back

	longPassword = 0x80 // Set User Password: one of 20 bytes
)

// untilAdmin makes the first administrator, unless he was made already, and
// tries until it can.
func (m *Manager) untilAdmin(ctx context.Context) error {
	again := time.NewTicker(adminAgain)
	defer again.Stop()
	for said := ""; ; {
		err := m.firstAdmin(ctx)
		if err == nil {
			return nil
		}
		if ctx.Err() == nil && err.Error() != said {
			said = err.Error()
			m.cfg.Logger.Error("the shelf's LAN door waits for its administrator", "shelf", m.cfg.Shelf, "err", err)
		}
		select {
		case <-again.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// firstAdmin makes the administrator and opens the channel to him. Where
// somebody made another user of that id before, it stays as it is.
func (m *Manager) firstAdmin(ctx context.Context) error {
	if m.cfg.State.Record(m.cfg.Shelf, lanUserRecord) != nil {
		return nil
	}
	password, err := m.cfg.LAN.Password()
	if err != nil {
		return err
	}
	if n := len(password); n == 0 || n > mc.LongPasswordLen {
		return fmt.Errorf("the first administrator's password has %d characters, want 1 to %d", n, mc.LongPasswordLen)
	}
	name, err := m.own(ctx, 0x46, lanUserID)
	if err != nil {
		return err
	}
	if have := string(bytes.TrimRight(name, "\x00")); have == "" || have == LANUser {
		if err := m.makeAdmin(ctx, password); err != nil {
			return err
		}
	}
	return m.put(ctx, putCommand(m.cfg.Shelf, lanUserRecord, []byte{1}).GetPutRecords())
}

// makeAdmin does what an administrator would do by commands. Who makes the door
// wants the VMs' consoles there.
func (m *Manager) makeAdmin(ctx context.Context, password string) error {
	channel := mc.LANChannel.Number
	size, long := mc.PasswordLen, byte(0)
	if len(password) > size {
		size, long = mc.LongPasswordLen, longPassword
	}
	filled := append([]byte(password), make([]byte, size-len(password))...)
	name := append([]byte(LANUser), make([]byte, mc.UserNameLen-len(LANUser))...)
	const app = ipmb.NetFnApp
	for _, one := range []struct {
		netFn ipmb.NetFn
		cmd   ipmb.Cmd
		data  []byte
	}{
		{app, 0x45, append([]byte{lanUserID}, name...)},                           // Set User Name
		{app, 0x47, append([]byte{lanUserID | long, 2}, filled...)},               // Set User Password: set
		{app, 0x47, []byte{lanUserID, 1}},                                         // … enable
		{app, 0x43, []byte{0x90 | channel, lanUserID, byte(ipmb.PrivilegeAdmin)}}, // Set User Access
		{app, 0x40, []byte{channel, 0x40 | 0x22, 0x40 | 0x04}},                    // Set Channel Access: always, stored
		{app, 0x40, []byte{channel, 0x80 | 0x22, 0x80 | 0x04}},                    // … and active
		{app, 0x4C, []byte{channel, lanUserID, 1 << mc.PayloadSOL, 0, 0, 0}},      // Set User Payload Access
		{ipmb.NetFnTransport, 0x21, []byte{channel, mc.SOLEnable, 1}},             // Set SOL Configuration Parameters
	} {
		if _, err := m.ownOf(ctx, one.netFn, one.cmd, one.data...); err != nil {
			return fmt.Errorf("command %02xh: %w", uint8(one.cmd), err)
		}
	}
	return nil
}

// own asks 0x20 itself for an application command.
func (m *Manager) own(ctx context.Context, cmd ipmb.Cmd, data ...byte) ([]byte, error) {
	return m.ownOf(ctx, ipmb.NetFnApp, cmd, data...)
}

// ownOf asks it for any command.
func (m *Manager) ownOf(ctx context.Context, netFn ipmb.NetFn, cmd ipmb.Cmd, data ...byte) ([]byte, error) {
	r, err := m.Do(ctx, ipmb.AddrShelfManager, m.request(netFn, cmd, data...))
	if err == nil {
		err = r.Err()
	}
	return r.Data, err
}
