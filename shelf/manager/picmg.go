package manager

import (
	"context"

	"github.com/midplane-project/midplane/ipmb"
	"github.com/midplane-project/midplane/ipmb/picmg"
)

// ownAddress is 0x20's answer to Get Address Info. 0x20 is an address of the
// function, not of a place; the place is the first shelf manager's.
var ownAddress = picmg.AddressInfo{
	HW: ipmb.AddrShelfManager.HW(), IPMB0: ipmb.AddrShelfManager, Site: 1, Type: picmg.SiteShelfMC,
}

// picmgCommands gives what the shelf manager answers of PICMG 3.0.
func (m *Manager) picmgCommands() []ipmb.Command {
	row := func(name string, cmd ipmb.Cmd, data ipmb.Span, do func(*ipmb.Request) (appender, error)) ipmb.Command {
		return ipmb.Command{
			Name: name, NetFn: ipmb.NetFnGroup, Body: ipmb.BodyPICMG, Cmd: cmd, Privilege: ipmb.PrivilegeUser, Data: data,
			Ref: "Wireshark packet-ipmi-picmg.c",
			Do: func(_ context.Context, req *ipmb.Request) ([]byte, error) {
				a, err := do(req)
				if err != nil {
					return nil, err
				}
				return a.AppendBinary(nil)
			},
		}
	}
	return []ipmb.Command{
		row("Get PICMG Properties", picmg.CmdGetProperties, ipmb.Exactly(0), properties),
		row("Get Address Info", picmg.CmdGetAddressInfo, ipmb.Between(0, 4), m.addressInfo),
		row("Get Device Locator Record ID", picmg.CmdGetDeviceLocator, ipmb.Between(1, 3), locatorRecord),
		row("Get Shelf Manager IPMB Address", picmg.CmdGetShelfManagerAddress, ipmb.Exactly(0), shelfManagers),
	}
}

// appender is the body of a response.
type appender interface {
	AppendBinary(b []byte) ([]byte, error)
}

func properties(*ipmb.Request) (appender, error) {
	return picmg.Properties{Version: picmg.VersionATCA3}, nil
}

// shelfManagers: replicas have no addresses of their own on the bus, so the
// active one is at 0x20 and there is no backup to speak to.
func shelfManagers(*ipmb.Request) (appender, error) {
	return picmg.ShelfManagers{Active: ipmb.AddrShelfManager, Backup: picmg.NoBackup}, nil
}

func locatorRecord(req *ipmb.Request) (appender, error) {
	q, err := picmg.ParseLocatorQuery(req.Data)
	own := uint16(ipmb.AddrShelfManager.HW())
	switch {
	case err != nil:
		return nil, err
	case q.FRU != picmg.ThisFRU, q.After >= own:
		return nil, ipmb.ErrNotPresent
	}
	return picmg.LocatorRecord{ID: own}, nil
}

// addressInfo gives 0x20's own address, or with a key that of any position of
// the shelf. Site numbers answer without a hole, whether anybody is there or
// not, and fail only past the last: clients walk them up to the first error.
func (m *Manager) addressInfo(req *ipmb.Request) (appender, error) {
	q, err := picmg.ParseAddressQuery(req.Data)
	if err != nil {
		return nil, err
	}
	if !q.Keyed {
		if q.FRU != picmg.ThisFRU {
			return nil, ipmb.ErrNotPresent
		}
		return ownAddress, nil
	}
	a := ipmb.Addr(q.Key)
	switch q.KeyType {
	case picmg.KeyPhysical:
		return m.site(q)
	case picmg.KeyHardware:
		if q.Key > ipmb.Addr(0xFF).HW() {
			return nil, ipmb.ErrParameterRange
		}
		a = ipmb.AddrFromHW(q.Key)
	}
	if a == ipmb.AddrShelfManager {
		return ownAddress, nil
	}
	if n := a.Slot(); a.Valid() && n > 0 && n <= m.sites() {
		return picmg.BoardAddress(n), nil
	}
	return nil, ipmb.ErrParameterRange
}

// site answers for a site number.
func (m *Manager) site(q picmg.AddressQuery) (appender, error) {
	switch {
	case q.Site == ownAddress.Type && q.Key == ownAddress.Site:
		return ownAddress, nil
	case q.Site == picmg.SiteBoard && q.Key > 0 && int(q.Key) <= m.sites():
		return picmg.BoardAddress(int(q.Key)), nil
	}
	return nil, ipmb.ErrParameterRange
}

// sites is the highest slot number of the shelf: of those declared, or where
// all may be claimed, of those that ever were.
func (m *Manager) sites() int {
	n := 0
	if s, ok := m.cfg.State.Shelf(m.cfg.Shelf); ok {
		for _, hw := range s.HW {
			n = max(n, ipmb.AddrFromHW(hw).Slot())
		}
	}
	for _, sl := range m.cfg.State.Slots(m.cfg.Shelf) {
		n = max(n, sl.Addr().Slot())
	}
	return n
}
