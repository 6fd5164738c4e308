package manager

import (
	"context"
	"encoding/binary"
	"math"
	"time"

	"github.com/midplane-project/midplane/ipmb"
	v1 "github.com/midplane-project/midplane/proto/midplane/v1"
)

// Commands of the chassis device (IPMI 2.0 §28).
const (
	cmdChassisStatus  ipmb.Cmd = 0x01
	cmdChassisControl ipmb.Cmd = 0x02
)

// Get Chassis Status (IPMI 2.0 §28.2): current power state, last power event,
// misc. state.
const (
	statusPolicyUnknown = 0x60 // each node has its own
	statusFaults        = 0x1E // control, power, interlock, overload
	statusOn            = 0x01
	statusIdentify      = 0x40 // the state of Chassis Identify is told
	statusIdentifyShift = 4
	statusMiscFaults    = 0x0C // cooling, drive
	statusLen           = 3
)

// statusRhythm is how long a controller has to say what the state of its
// chassis is: the requester at 0x20 will not wait for long either.
var statusRhythm = ipmb.Rhythm{time.Second}

// chassisCommands makes the shelf a chassis: what a node's commands mean for
// its VM, these mean for the VMs of all nodes. There is no restart cause and no
// power-on hours of a shelf.
func (m *Manager) chassisCommands() []ipmb.Command {
	row := func(name string, cmd ipmb.Cmd, p ipmb.Privilege, data ipmb.Span, ref string, do func(context.Context, *ipmb.Request) ([]byte, error)) ipmb.Command {
		return ipmb.Command{
			Name: name, NetFn: ipmb.NetFnChassis, Cmd: cmd, Privilege: p, Data: data, Ref: "IPMI 2.0 §" + ref, Do: do,
		}
	}
	acts := func(r ipmb.Command) ipmb.Command {
		r.Effect, r.Access = true, ipmb.NotGuest
		return r
	}
	return []ipmb.Command{
		row("Get Chassis Capabilities", 0x00, ipmb.PrivilegeUser, ipmb.Exactly(0), "28.1", m.chassisCapabilities),
		row("Get Chassis Status", cmdChassisStatus, ipmb.PrivilegeUser, ipmb.Exactly(0), "28.2", m.chassisStatus),
		acts(row("Chassis Control", cmdChassisControl, ipmb.PrivilegeAdmin, ipmb.Exactly(1), "28.3", m.chassisControl)),
		acts(row("Chassis Identify", 0x04, ipmb.PrivilegeOperator, ipmb.Between(0, 2), "28.5", m.chassisIdentify)),
	}
}

// chassisCapabilities: 0x20 is the shelf's FRU, SDR, SEL and system management
// device, as far as it has them.
func (m *Manager) chassisCapabilities(context.Context, *ipmb.Request) ([]byte, error) {
	own := byte(ipmb.AddrShelfManager)
	b := []byte{0, 0, own, own, own}
	if m.mux.Has(ipmb.NetFnStorage, 0, cmdFRUInfo) {
		b[1] = own
	}
	return b, nil
}

// chassisStatus asks every holder of a slot. The shelf's power is on when a
// VM's is; a holder that does not answer may have one that runs, and counts as
// on. What has no chassis, such as a fan tray, does not count. The shelf has
// the faults of all.
func (m *Manager) chassisStatus(ctx context.Context, _ *ipmb.Request) ([]byte, error) {
	c := callOf(ctx)
	if c == nil {
		return nil, ipmb.ErrNoResponse
	}
	out := []byte{statusPolicyUnknown, 0, statusIdentify | m.identifying(time.Now())<<statusIdentifyShift}
	answers := make(chan []byte)
	n := 0
	for _, sl := range m.cfg.State.Slots(m.cfg.Shelf) {
		if sl.Held {
			n++
			go func() { answers <- c.tenure.slotStatus(ctx, m, sl.Addr()) }()
		}
	}
	for range n {
		s := <-answers
		out[0] |= s[0] & (statusFaults | statusOn)
		out[2] |= s[2] & statusMiscFaults
	}
	return out, nil
}

// slotStatus gives the answer of a slot's holder, or what counts as it.
func (t *tenure) slotStatus(ctx context.Context, m *Manager, to ipmb.Addr) []byte {
	r, err := t.requester.Do(ctx, to, m.request(ipmb.NetFnChassis, cmdChassisStatus), statusRhythm)
	switch {
	case err == nil && r.Code == ipmb.OK && len(r.Data) >= statusLen:
		return r.Data
	case err == nil && r.Code == ipmb.ErrInvalidCommand:
		return make([]byte, statusLen)
	}
	return []byte{statusOn, 0, 0}
}

// Chassis Identify (IPMI 2.0 §28.5).
const (
	identifyRecord  = "chassis/identify" // until when, big-endian, nanoseconds since 1970
	identifyDefault = 15                 // seconds
	identifyForce   = 0x01
	forever         = math.MaxInt64

	identifyOff        = 0
	identifyTemporary  = 1
	identifyIndefinite = 2
)

// chassisIdentify asks the shelf to show itself. It has no lamp: the state is
// in Get Chassis Status, and whoever watches the log sees it.
func (m *Manager) chassisIdentify(ctx context.Context, req *ipmb.Request) ([]byte, error) {
	seconds, force := byte(identifyDefault), byte(0)
	if len(req.Data) > 0 {
		seconds = req.Data[0]
	}
	if len(req.Data) > 1 {
		force = req.Data[1]
	}
	until := int64(0)
	switch {
	case force&^identifyForce != 0:
		return nil, ipmb.ErrInvalidField
	case force != 0:
		until = forever
	case seconds > 0:
		until = time.Now().Add(time.Duration(seconds) * time.Second).UnixNano()
	}
	_, err := m.commit(ctx, req, putCommand(m.cfg.Shelf, identifyRecord, binary.BigEndian.AppendUint64(nil, uint64(until))))
	if err == nil {
		m.cfg.Logger.Info("chassis identify", "shelf", m.cfg.Shelf, "on", until != 0, "seconds", seconds, "indefinitely", force != 0)
	}
	return nil, err
}

// identifying is the state of Chassis Identify.
func (m *Manager) identifying(now time.Time) byte {
	b := m.cfg.State.Record(m.cfg.Shelf, identifyRecord)
	if len(b) != 8 {
		return identifyOff
	}
	switch until := int64(binary.BigEndian.Uint64(b)); {
	case until == forever:
		return identifyIndefinite
	case until > now.UnixNano():
		return identifyTemporary
	}
	return identifyOff
}

// putCommand replaces one record.
func putCommand(shelf, name string, value []byte) *v1.Command {
	return &v1.Command{Kind: &v1.Command_PutRecords{PutRecords: &v1.PutRecords{
		Shelf: shelf, Put: []*v1.NamedRecord{{Name: name, Value: value}},
	}}}
}
