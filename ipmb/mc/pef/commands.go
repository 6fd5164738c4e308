package pef

import (
	"context"
	"encoding/binary"
	"time"

	"github.com/midplane-project/midplane/ipmb"
	"github.com/midplane-project/midplane/ipmb/mc"
)

// pefVersion is 1.5 in BCD with the digits swapped, which IPMI 2.0 left as it
// was (§30.1).
const pefVersion = 0x51

// Lengths of requests.
const (
	setProcessedLen = 3
	acknowledgeLen  = 12
)

// Commands gives PEF's rows.
func (p *PEF) Commands() []ipmb.Command {
	const user, operator, admin = ipmb.PrivilegeUser, ipmb.PrivilegeOperator, ipmb.PrivilegeAdmin
	const s = ipmb.NetFnSensor
	return []ipmb.Command{
		{Name: "Get PEF Capabilities", NetFn: s, Cmd: 0x10, Privilege: user, Ref: "IPMI 2.0 §30.1", Do: p.capabilities},
		{Name: "Arm PEF Postpone Timer", NetFn: s, Cmd: 0x11, Privilege: admin, Data: ipmb.Exactly(1), Effect: true, Ref: "IPMI 2.0 §30.2", Do: p.arm},
		{Name: "Set PEF Configuration Parameters", NetFn: s, Cmd: 0x12, Privilege: admin, Data: ipmb.AtLeast(2), Effect: true, Ref: "IPMI 2.0 §30.3", Do: p.setParam},
		{Name: "Get PEF Configuration Parameters", NetFn: s, Cmd: 0x13, Privilege: operator, Data: ipmb.Exactly(3), Ref: "IPMI 2.0 §30.4", Do: p.getParam},
		{Name: "Set Last Processed Event ID", NetFn: s, Cmd: 0x14, Privilege: admin, Data: ipmb.Exactly(setProcessedLen), Effect: true, Ref: "IPMI 2.0 §30.5", Do: p.setProcessed},
		{Name: "Get Last Processed Event ID", NetFn: s, Cmd: 0x15, Privilege: admin, Ref: "IPMI 2.0 §30.6", Do: p.getProcessed},
		{Name: "Alert Immediate", NetFn: s, Cmd: 0x16, Privilege: admin, Data: ipmb.Between(immediateLen, immediateLen+immediateEventLen), Effect: true, Ref: "IPMI 2.0 §30.7", Do: p.alertImmediate},
		{Name: "PET Acknowledge", NetFn: s, Cmd: 0x17, Privilege: ipmb.PrivilegeNone, Data: ipmb.Exactly(acknowledgeLen), Effect: true, Ref: "IPMI 2.0 §30.8", Do: p.petAcknowledge},
	}
}

func (p *PEF) capabilities(context.Context, *ipmb.Request) ([]byte, error) {
	return []byte{pefVersion, byte(actionsSupported), filterCount}, nil
}

// arm sets the postpone timer, or only tells what is left of it.
func (p *PEF) arm(_ context.Context, req *ipmb.Request) ([]byte, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if v := req.Data[0]; v != postponeQuery {
		if err := p.armLocked(v); err != nil {
			return nil, err
		}
		p.notify()
	}
	return []byte{p.postpone.left(time.Now())}, nil
}

func (p *PEF) armLocked(value byte) error {
	if value != p.postpone.value {
		if err := p.Records.Put(recordPostpone, []byte{value}); err != nil {
			return err
		}
	}
	p.postpone.arm(value, time.Now(), p.waiting())
	return nil
}

// setProcessed takes a record for the last one that software, or this
// controller, has processed. Neither it nor what waits before it is filtered
// any more.
func (p *PEF) setProcessed(ctx context.Context, req *ipmb.Request) ([]byte, error) {
	which, id := req.Data[0], binary.LittleEndian.Uint16(req.Data[1:])
	if which&^byte(1) != 0 {
		return nil, ipmb.ErrInvalidField
	}
	if isRecord(id) {
		if _, _, err := p.Log.SELGet(ctx, id); err != nil {
			return nil, err
		}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	next := p.processed
	if which == 0 {
		next.software = id
	} else {
		next.pass(id)
	}
	if err := p.Records.Put(recordProcessed, next.record()); err != nil {
		return nil, err
	}
	p.processed = next
	p.drop(id)
	p.postpone.follow(time.Now(), p.waiting())
	p.notify()
	return nil, nil
}

// drop takes the events up to a record from those that wait.
func (p *PEF) drop(id uint16) {
	for len(p.pending) > 0 && isRecord(id) && !newer(p.pending[0].ID, id) {
		p.pending = p.pending[1:]
	}
}

func (p *PEF) getProcessed(ctx context.Context, _ *ipmb.Request) ([]byte, error) {
	info, err := p.Log.SELInfo(ctx)
	if err != nil {
		return nil, err
	}
	last, err := newest(ctx, p.Log)
	if err != nil {
		return nil, err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	b := binary.LittleEndian.AppendUint32(nil, added(info))
	b = binary.LittleEndian.AppendUint16(b, last)
	b = binary.LittleEndian.AppendUint16(b, p.software)
	return binary.LittleEndian.AppendUint16(b, p.bmc), nil
}

// added is when the log got its last record, FFFFFFFFh for never (IPMI 2.0 §37).
func added(i mc.SELInfo) uint32 {
	if i.LastAdd.IsZero() {
		return 0xFFFFFFFF
	}
	return uint32(i.LastAdd.Unix())
}

// petAcknowledge takes the fields of a trap, low bytes first. It comes outside
// of sessions and may be repeated when its answer was lost, so that a trap that
// nobody waits for any more is no mistake.
func (p *PEF) petAcknowledge(_ context.Context, req *ipmb.Request) ([]byte, error) {
	d := req.Data
	key := acknowledgement{
		sequence: binary.LittleEndian.Uint16(d), timestamp: binary.LittleEndian.Uint32(d[2:]),
		source: d[6], device: d[7], sensor: d[8], data: [3]byte(d[9:]),
	}
	p.acknowledge(key)
	return nil, nil
}
