package manager

import (
	"errors"
	"net/netip"
	"slices"

	"github.com/midplane-project/midplane/ipmb"
	"github.com/midplane-project/midplane/ipmb/mc"
)

// errPlaceFixed answers who wants the shelf's door elsewhere: where it listens
// is in the configuration of its replicas or of their front. It is not CCh, at
// which ipmitool asks ten times more.
const errPlaceFixed = ipmb.ErrParamReadOnly

// placeNumbers are the parameters that say where a door is.
var placeNumbers = []uint8{
	mc.LANAddress, mc.LANSource, mc.LANMAC, mc.LANMask, mc.LANPort, mc.LANVLAN, mc.LANv6Enables, mc.LANv6Address,
}

// lanPlace holds the parameters that say where the door is to what is true.
type lanPlace struct{ lan *mc.LAN }

// Check implements mc.ParameterHook.
func (p lanPlace) Check(number uint8, v []byte) error {
	if !slices.Contains(placeNumbers, number) || slices.Equal(v, p.lan.Shown(number, 0)) {
		return nil
	}
	return errPlaceFixed
}

// Changed implements mc.ParameterHook.
func (p lanPlace) Changed(uint8) {}

// fixPlace lets the parameters tell where the door is, and nobody change it.
func (a *access) fixPlace(at netip.AddrPort) {
	if at.IsValid() {
		for number, v := range mc.LANPlace(at) {
			a.lan.Preset(number, v)
		}
		a.sol.Follow(at)
	}
	a.lan.Watch(lanPlace{a.lan})
	a.lan.Refused = func(req *ipmb.Request, err error) {
		if !errors.Is(err, errPlaceFixed) {
			return
		}
		o := req.Origin
		a.m.cfg.Logger.Warn("LAN setting refused: where the shelf's door listens is in its configuration", "shelf", a.m.cfg.Shelf,
			"parameter", req.Data[1], "by", o.Speaker.String(), "door", o.Door.String(), "session", o.Session)
	}
}
