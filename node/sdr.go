package node

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"time"

	"github.com/midplane-project/midplane/internal/kv"
	"github.com/midplane-project/midplane/ipmb"
	"github.com/midplane-project/midplane/ipmb/mc"
	"github.com/midplane-project/midplane/ipmb/sdr"
)

// ownRecordID is the id of the repository's only record.
const ownRecordID = 1

// repository is the node's own part of its SDR repository: a locator of its
// controller. Without any repository ipmitool complains at every event that it
// shows.
type repository struct {
	record  mc.SDRRecord
	changed time.Time
}

// openSDRs gives the whole repository: own, and what was added.
func (c *Controller) openSDRs(own mc.SDRSource, db *kv.DB) (*mc.SDRRepository, error) {
	return mc.OpenSDRRepository(mc.SDRConfig{
		Own: own, Records: records{db}, Addr: c.id.Addr, Spawn: c.spawn,
		Sensors: ipmb.HandlerFunc(func(ctx context.Context, req *ipmb.Request) ipmb.Response { return c.mux.ServeIPMI(ctx, req) }),
	})
}

// open fills the repository of a controller with these support bits. Its time
// of last change is that when the record was first stored as it is.
func (r *repository) open(id Identity, support byte, st store) (err error) {
	if r.record, err = sdr.Marshal(ownRecordID, id.locator(support)); err != nil {
		return fmt.Errorf("locator of %s: %w", id.Addr, err)
	}
	r.changed, err = st.changed(r.record, time.Now())
	return err
}

// locator names the controller for those who read its repository.
func (id Identity) locator(support byte) *sdr.MCLocator {
	l := &sdr.MCLocator{
		Addr: id.Addr, Channel: ipmb.ChannelIPMB, Capabilities: support, Name: sdrName(id.Name),
		Entity: sdr.Entity{ID: sdr.EntitySystemBoard, Instance: 1},
	}
	if id.Profile == ProfileATCA {
		l.Entity = sdr.Entity{ID: sdr.EntityFrontBoard, Instance: sdr.DeviceRelative}
	}
	return l
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
	return []mc.SDRRecord{r.record}, r.changed, nil
}

// changed is when a record last became what it is: now, if it is not the one
// that is stored.
func (s store) changed(record []byte, now time.Time) (time.Time, error) {
	old, err := s.get(keyRecord)
	if err != nil {
		return now, err
	}
	if len(old) >= 8 && bytes.Equal(old[8:], record) {
		return time.Unix(0, int64(binary.BigEndian.Uint64(old))), nil
	}
	stamped := binary.BigEndian.AppendUint64(nil, uint64(now.UnixNano()))
	return now, s.put(keyRecord, append(stamped, record...))
}
