package manager

import (
	"context"
	"fmt"
	"time"

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

// repository is the SDR repository of 0x20: a locator for itself and one for
// each controller that holds a slot. A record's id is its hardware address, so
// that it is the same for ever.
type repository struct{ m *Manager }

// SDRs gives the records, and when a slot changed last.
func (r repository) SDRs(context.Context) (records []mc.SDRRecord, changed time.Time, err error) {
	own := false
	add := func(l *sdr.MCLocator) {
		b, e := sdr.Marshal(uint16(l.Addr.HW()), l)
		if e != nil {
			err = fmt.Errorf("locator of %s: %w", l.Addr, e)
			return
		}
		records = append(records, b)
	}
	last := int64(0)
	for _, sl := range r.m.cfg.State.Slots(r.m.cfg.Shelf) {
		last = max(last, sl.Since)
		if !own && sl.HW > ipmb.AddrShelfManager.HW() {
			add(r.locator())
			own = true
		}
		if sl.Held {
			add(slotLocator(sl))
		}
	}
	if !own {
		add(r.locator())
	}
	return records, time.Unix(0, last), err
}

// locator is 0x20's own.
func (r repository) locator() *sdr.MCLocator {
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
