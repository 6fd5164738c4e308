package node

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"strings"

	"github.com/midplane-project/midplane/internal/jsonfile"
	"github.com/midplane-project/midplane/ipmb"
	"github.com/midplane-project/midplane/ipmb/mc"
	"github.com/midplane-project/midplane/ipmb/rmcp"
)

// The administrator whom the LAN door has from its first start.
const (
	LANUser         = "admin"
	LANPasswordFile = "lan-password" // in the node's directory, mode 0600

	lanUserID      = 2
	lanUserRecord  = "lan/admin" // there once he was made: who deletes him does not get him back
	passwordChars  = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
	passwordLength = 16
)

// lanAddress reads where the LAN door listens; none for an empty text.
func lanAddress(s string) (netip.AddrPort, error) {
	if s == "" {
		return netip.AddrPort{}, nil
	}
	return netip.ParseAddrPort(s)
}

// listenLAN opens the LAN door, nil if there is none. Before anybody can ask
// there is somebody who may log in, and the channel's parameters tell where.
func (n *Node) listenLAN() (*rmcp.Mover, error) {
	first, err := lanAddress(n.cfg.LAN.Listen)
	if err != nil {
		return nil, err
	}
	a := n.controller.access
	p := &lanPlace{lan: a.lan, sol: a.sol, door: rmcp.NewMover(n.lanDoor()), file: filepath.Join(n.cfg.Dir, lanAddressFile), log: n.log}
	defer p.lan.Watch(p)
	if !first.IsValid() {
		return nil, errors.Join(p.forget(), os.RemoveAll(p.file))
	}
	if err := n.firstAdmin(); err != nil {
		return nil, fmt.Errorf("administrator of the LAN door: %w", err)
	}
	if p.allowed, err = rmcp.ParsePlaces(n.cfg.LAN.Allow); err != nil {
		return nil, err
	}
	p.allowed = append(p.allowed, rmcp.At(first))
	if err := p.open(first); err != nil {
		return nil, err
	}
	p.tell()
	n.cfg.LAN.Warn(n.log)
	n.log.Info("LAN door open", "address", p.door.At().String(), "user", LANUser)
	return p.door, nil
}

func (n *Node) lanDoor() rmcp.DoorConfig {
	c := n.controller
	return rmcp.DoorConfig{
		Software: c.forSoftware(),
		Sessions: c.access.sessions, Handler: c.Handler(), Effect: c.hasEffect, Style: n.cfg.LAN.Style, Count: &c.access.lan.Count, SOL: c.access.payloads, Log: n.log,
		Origin: ipmb.Origin{
			Speaker: ipmb.SpeakerSession, Door: ipmb.DoorLAN, Channel: mc.LANChannel.Number, Shelf: n.cfg.Shelf,
			Source: n.cfg.Addr(), Instance: string(n.settings.instance[:]),
		},
	}
}

// closeLAN closes a door that was opened in vain; nil is none.
func closeLAN(m *rmcp.Mover) error {
	if m == nil {
		return nil
	}
	return m.Close()
}

// firstAdmin makes the administrator with a password of his own, and opens the
// channel to him, the first time that the node has a LAN door. Where the guest
// has made a user of that id before, it stays as it is.
func (n *Node) firstAdmin() error {
	r := records{n.db}
	if done, err := r.Get(lanUserRecord); err != nil || done != nil {
		return err
	}
	password, err := lanPassword(filepath.Join(n.cfg.Dir, LANPasswordFile))
	if err != nil {
		return err
	}
	name, err := n.own(0x46, lanUserID)
	if err != nil {
		return err
	}
	if have := string(bytes.TrimRight(name, "\x00")); have == "" || have == LANUser {
		if err := errors.Join(n.makeAdmin(password), n.offerSOL()); err != nil {
			return err
		}
	}
	return r.Put(lanUserRecord, []byte{1})
}

// makeAdmin does what an administrator would do by commands.
func (n *Node) makeAdmin(password string) error {
	const channel = 1
	name := append([]byte(LANUser), make([]byte, mc.UserNameLen-len(LANUser))...)
	var errs []error
	for _, one := range []struct {
		cmd  ipmb.Cmd
		data []byte
	}{
		{0x45, append([]byte{lanUserID}, name...)},                           // Set User Name
		{0x47, append([]byte{lanUserID, 2}, password...)},                    // Set User Password: set
		{0x47, []byte{lanUserID, 1}},                                         // … enable
		{0x43, []byte{0x90 | channel, lanUserID, byte(ipmb.PrivilegeAdmin)}}, // Set User Access
		{0x40, []byte{channel, 0x40 | 0x22, 0x40 | 0x04}},                    // Set Channel Access: always, stored
		{0x40, []byte{channel, 0x80 | 0x22, 0x80 | 0x04}},                    // … and active
	} {
		_, err := n.own(one.cmd, one.data...)
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// own asks the node's own controller for an application command.
func (n *Node) own(cmd ipmb.Cmd, data ...byte) ([]byte, error) {
	return n.ownOf(ipmb.NetFnApp, cmd, data...)
}

// ownOf asks it for any command.
func (n *Node) ownOf(netFn ipmb.NetFn, cmd ipmb.Cmd, data ...byte) ([]byte, error) {
	r := n.controller.Handler().ServeIPMI(context.Background(), &ipmb.Request{
		NetFn: netFn, Cmd: cmd, Data: data,
		Origin: ipmb.Origin{Door: ipmb.DoorInternal, Privilege: ipmb.PrivilegeAdmin, Channel: ipmb.ChannelSystem},
	})
	return r.Data, r.Err()
}

// lanPassword reads the administrator's first password, which it makes if need be.
func lanPassword(path string) (string, error) {
	have, err := os.ReadFile(path)
	if err == nil && len(strings.TrimSpace(string(have))) == passwordLength {
		return strings.TrimSpace(string(have)), nil
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return "", err
	}
	password := RandomPassword()
	return password, jsonfile.Replace(path, []byte(password+"\n"))
}

// RandomPassword is a password that nobody had before. It draws each character alike.
func RandomPassword() string {
	out := make([]byte, 0, passwordLength)
	for b := make([]byte, 1); len(out) < passwordLength; {
		_, _ = rand.Read(b) // does not fail
		if even := 256 - 256%len(passwordChars); int(b[0]) < even {
			out = append(out, passwordChars[int(b[0])%len(passwordChars)])
		}
	}
	return string(out)
}
