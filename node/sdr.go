package node

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"slices"
	"time"

	"github.com/midplane-project/midplane/internal/kv"
	"github.com/midplane-project/midplane/ipmb"
	"github.com/midplane-project/midplane/ipmb/mc"
	"github.com/midplane-project/midplane/ipmb/sdr"
)

// ownRecordID is the id of the controller's first record.
const ownRecordID = 1

// repository is the node's own part of its SDR repository, and what it gives as
// device SDRs: a locator of its controller, the records of its sensors, and
// locators of the FRU devices behind it.
type repository struct {
	records []mc.SDRRecord
	changed time.Time
}

// openSDRs gives the whole repository: own, and what was added.
func (c *Controller) openSDRs(own mc.SDRSource, db *kv.DB) (*mc.SDRRepository, error) {
	return mc.OpenSDRRepository(mc.SDRConfig{
		Own: own, Records: records{db}, Addr: c.id.Addr, Spawn: c.spawn,
		Sensors: ipmb.HandlerFunc(func(ctx context.Context, req *ipmb.Request) ipmb.Response { return c.mux.ServeIPMI(ctx, req) }),
	})
}

// open fills the repository. Its time of last change is that when the records
// were first stored as they are.
func (r *repository) open(bodies []sdr.Body, st store) (err error) {
	for i, body := range bodies {
		record, err := sdr.Marshal(ownRecordID+uint16(i), body)
		if err != nil {
			return fmt.Errorf("record %d: %w", i, err)
		}
		r.records = append(r.records, record)
	}
	r.changed, err = st.changed(slices.Concat(r.records...), time.Now())
	return err
}

// entity is what the controller and its sensors are about.
func (id Identity) entity() sdr.Entity {
	switch id.Profile {
	case ProfileATCA:
		return sdr.Entity{ID: sdr.EntityFrontBoard, Instance: sdr.DeviceRelative}
	case ProfileFanTray:
		return sdr.Entity{ID: sdr.EntityCooling, Instance: sdr.DeviceRelative}
	}
	return sdr.Entity{ID: sdr.EntitySystemBoard, Instance: 1}
}

// locator names the controller for those who read its repository.
func (id Identity) locator(support byte) *sdr.MCLocator {
	return &sdr.MCLocator{
		Addr: id.Addr, Channel: ipmb.ChannelIPMB, Capabilities: support, Name: sdrName(id.Name), Entity: id.entity(),
	}
}

// sdrName makes of a node's name what a record can hold: Latin-1, others shown
// as '?', cut to fit.
func sdrName(name string) string {
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

// SDRs implements mc.SDRSource.
func (r *repository) SDRs(context.Context) ([]mc.SDRRecord, time.Time, error) {
	return r.records, r.changed, nil
}

// changed is when the records last became what they are: now, if they are not
// those that are stored.
func (s store) changed(records []byte, now time.Time) (time.Time, error) {
	old, err := s.get(keyRecord)
	if err != nil {
		return now, err
	}
	if len(old) >= 8 && bytes.Equal(old[8:], records) {
		return time.Unix(0, int64(binary.BigEndian.Uint64(old))), nil
	}
	stamped := binary.BigEndian.AppendUint64(nil, uint64(now.UnixNano()))
	return now, s.put(keyRecord, append(stamped, records...))
}
