package manager

import (
	"fmt"

	"github.com/midplane-project/midplane/ipmb"
	"github.com/midplane-project/midplane/ipmb/mc"
	"github.com/midplane-project/midplane/ipmb/sdr"
	"github.com/midplane-project/midplane/shelf/state"
)

const (
	ownName       = "Shelf Manager"
	profileServer = "server"
	// supportByte is where a Get Device ID answer has its support bits.
	supportByte = 5
)

// locator is 0x20's own.
func (r *repository) locator() *sdr.MCLocator {
	return &sdr.MCLocator{
		Addr: ipmb.AddrShelfManager, Channel: ipmb.ChannelIPMB, Capabilities: mc.SupportBits(r.m.mux),
		Entity: sdr.Entity{ID: sdr.EntityShelfMC, Instance: sdr.DeviceRelative}, Name: ownName,
	}
}

func slotLocator(sl state.Slot) *sdr.MCLocator {
	l := &sdr.MCLocator{
		Addr: sl.Addr(), Channel: ipmb.ChannelIPMB, Name: idString(sl.Name),
		Entity: sdr.Entity{ID: sdr.EntityFrontBoard, Instance: sdr.DeviceRelative},
	}
	if sl.Profile == profileServer {
		l.Entity.ID = sdr.EntitySystemBoard
	}
	if len(sl.DeviceID) > supportByte {
		l.Capabilities = sl.DeviceID[supportByte]
	}
	return l
}

func marshalLocator(l *sdr.MCLocator) (mc.SDRRecord, error) {
	b, err := sdr.Marshal(locatorID(l.Addr.HW()), l)
	if err != nil {
		return nil, fmt.Errorf("locator of %s: %w", l.Addr, err)
	}
	return b, nil
}

// idString makes of a node's name what a record can hold: 16 characters of
// Latin-1, others shown as '?'.
func idString(name string) string {
	out := make([]rune, 0, sdr.MaxID)
	for _, c := range name {
		if len(out) == sdr.MaxID {
			break
		}
		if c == 0 || c > 0xFF {
			c = '?'
		}
		out = append(out, c)
	}
	return string(out)
}
