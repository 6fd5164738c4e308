package node

import (
	"context"

	"github.com/midplane-project/midplane/ipmb"
	"github.com/midplane-project/midplane/ipmb/picmg"
)

// PICMG command numbers (Wireshark, packet-ipmi-picmg.c).
const (
	picmgProperties  ipmb.Cmd = 0x00
	picmgAddressInfo ipmb.Cmd = 0x01
	picmgSetPower    ipmb.Cmd = 0x11
)

const (
	picmgVersion = 0x32 // PICMG 3.0 R3.0: extension version 2.3, low nibble major
	addrUnused   = 0xFF
	levelOff     = 0
	levelOn      = 1
	levelKeep    = 0xFF
	keyHardware  = 0
	keyIPMB      = 1
	keyPhysical  = 3
)

// carrier is the ATCA side of a controller: FRU 0 and nothing more.
type carrier struct {
	self   ipmb.Addr
	site   picmg.SiteType
	vm     payload
	swap   *hotSwap // of a board
	leaves bool     // a guest that powers the board off asks for its deactivation
}

func (c *carrier) commands() []ipmb.Command {
	return []ipmb.Command{
		picmgRow("Get PICMG Properties", picmgProperties, ipmb.PrivilegeUser, ipmb.Exactly(0), c.properties),
		picmgRow("Get Address Info", picmgAddressInfo, ipmb.PrivilegeUser, ipmb.Between(0, 4), c.addressInfo),
	}
}

// picmgRow makes a row of a PICMG command.
func picmgRow(name string, cmd ipmb.Cmd, p ipmb.Privilege, data ipmb.Span, do func(context.Context, *ipmb.Request) ([]byte, error)) ipmb.Command {
	return ipmb.Command{
		Name: name, NetFn: ipmb.NetFnGroup, Body: ipmb.BodyPICMG, Cmd: cmd, Privilege: p, Data: data,
		Ref: "Wireshark packet-ipmi-picmg.c", Do: do,
	}
}

func (c *carrier) properties(context.Context, *ipmb.Request) ([]byte, error) {
	return []byte{picmgVersion, 0, 0}, nil // highest FRU id, own FRU id
}

// addressInfo answers for FRU 0, and for a key that names this very board.
func (c *carrier) addressInfo(_ context.Context, req *ipmb.Request) ([]byte, error) {
	d := req.Data
	site := byte(c.self.Slot())
	switch {
	case len(d) == 2:
		return nil, ipmb.ErrLength // a key type without its key
	case len(d) >= 1 && d[0] != 0:
		return nil, ipmb.ErrNotPresent
	case len(d) >= 3 && !c.isKey(d[1], d[2], d[3:]):
		return nil, ipmb.ErrParameterRange
	}
	return []byte{c.self.HW(), byte(c.self), addrUnused, 0, site, byte(c.site)}, nil
}

func (c *carrier) isKey(kind, key byte, siteType []byte) bool {
	switch kind {
	case keyHardware:
		return key == c.self.HW()
	case keyIPMB:
		return key == byte(c.self)
	case keyPhysical:
		return key == byte(c.self.Slot()) && (len(siteType) == 0 || siteType[0] == byte(c.site))
	}
	return false
}

// setPower takes the payload down or up. The own guest may only take it down:
// so ipmi_poweroff ends an ATCA board (Linux ipmi_poweroff.c). Raising it is
// the shelf's, and so is the grant to have power: it gives it in M3.
func (c *carrier) setPower(ctx context.Context, req *ipmb.Request) ([]byte, error) {
	fru, level := req.Data[0], req.Data[1]
	if fru != 0 {
		return nil, ipmb.ErrNotPresent
	}
	guest := req.Origin.Speaker == ipmb.SpeakerGuest
	switch {
	case level == levelKeep:
		return nil, nil
	case level > levelOn:
		return nil, ipmb.ErrParameterRange
	case guest && level == levelOn:
		return nil, ipmb.ErrPrivilege
	case guest:
		err := c.vm.PowerOff(ctx)
		if err == nil && c.leaves {
			c.swap.leave()
		}
		return nil, err
	case level == levelOn:
		return nil, c.swap.powerUp(byCommand(ctx, req))
	}
	return nil, c.swap.do(ctx, picmg.PowerDown)
}
