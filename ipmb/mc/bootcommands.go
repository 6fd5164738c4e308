package mc

import (
	"context"

	"github.com/midplane-project/midplane/ipmb"
)

const (
	bootInvalid  = 0x80 // of the byte with the parameter selector: invalid, or locked
	bootRevision = 0x01 // parameter version (IPMI 2.0 §28.13)
)

// Commands gives Set and Get System Boot Options.
func (b *BootOptions) Commands() []ipmb.Command {
	return []ipmb.Command{
		{
			Name: "Set System Boot Options", NetFn: ipmb.NetFnChassis, Cmd: 0x08, Privilege: ipmb.PrivilegeOperator,
			Data: ipmb.Between(1, 2+bootMailboxBlock), Effect: true, Ref: "IPMI 2.0 §28.12", Do: b.set,
		},
		{
			Name: "Get System Boot Options", NetFn: ipmb.NetFnChassis, Cmd: 0x09, Privilege: ipmb.PrivilegeOperator,
			Data: ipmb.Exactly(3), Ref: "IPMI 2.0 §28.13", Do: b.get,
		},
	}
}

// set changes one parameter, or without data only whether it is valid.
func (b *BootOptions) set(ctx context.Context, req *ipmb.Request) ([]byte, error) {
	p, invalid := req.Data[0]&^bootInvalid, req.Data[0]&bootInvalid != 0
	if p >= bootParameters {
		return nil, ipmb.ErrParamUnsupported
	}
	changed, err := b.setParameter(p, invalid, req.Data[1:])
	if err != nil || !changed || b.Changed == nil {
		return nil, err
	}
	return nil, b.Changed(ctx)
}

// setParameter also reports whether other boot flags hold now, or until
// another time.
func (b *BootOptions) setParameter(p byte, invalid bool, data []byte) (changed bool, err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if err := b.expire(); err != nil {
		return false, err
	}
	before, until := b.held.flags(), b.expiry()
	switch {
	case p != bootSetInProgress:
		err = b.write(p, invalid, data)
	case len(data) > 1:
		err = ipmb.ErrLength
	case len(data) == 1: // parameter 0 is always valid
		err = b.progress(data[0])
	}
	return b.held.flags() != before || !b.expiry().Equal(until), err
}

// get gives a parameter as it was last written, be it committed or not.
func (b *BootOptions) get(_ context.Context, req *ipmb.Request) ([]byte, error) {
	p, set := req.Data[0], req.Data[1]
	b.mu.Lock()
	defer b.mu.Unlock()
	if err := b.expire(); err != nil {
		return nil, err
	}
	switch {
	case p&bootInvalid != 0:
		return nil, ipmb.ErrInvalidField
	case p >= bootParameters:
		return nil, ipmb.ErrParamUnsupported
	case p == bootSetInProgress && b.inProgress:
		return []byte{bootRevision, p, progressWriting}, nil
	case p == bootSetInProgress:
		return []byte{bootRevision, p, progressComplete}, nil
	case p == bootMailbox && set >= bootMailboxBlocks:
		return nil, ipmb.ErrParameterRange
	}
	out := []byte{bootRevision, p}
	if b.written.invalid(p) {
		out[1] |= bootInvalid
	}
	if p == bootMailbox {
		block := b.written.data(p)[int(set)*bootMailboxBlock:][:bootMailboxBlock]
		return append(append(out, set), block...), nil
	}
	return append(out, b.written.data(p)...), nil
}
