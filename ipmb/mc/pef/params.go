package pef

import (
	"context"
	"slices"

	"github.com/midplane-project/midplane/ipmb"
)

// Set and Get PEF Configuration Parameters (IPMI 2.0 §30.3, §30.4).
const (
	paramRevision     = 0x11
	paramRevisionOnly = 0x80
	paramMask         = 0x7F
)

// Values of parameter 0.
const (
	setComplete   = 0
	setInProgress = 1
	setCommit     = 2
)

// param is one configuration parameter. Both functions are called with the
// lock held.
type param struct {
	size ipmb.Span // of what is written, without the parameter's number
	get  func(p *PEF, set, block byte) ([]byte, error)
	set  func(p *PEF, data []byte) error // nil: read-only
}

// params are the parameters by number (IPMI 2.0 table 30-6).
var params = []param{
	0x00: {ipmb.Exactly(1), func(p *PEF, _, _ byte) ([]byte, error) { return []byte{p.progress}, nil }, (*PEF).setProgress},
	0x01: {ipmb.Exactly(1), func(p *PEF, _, _ byte) ([]byte, error) { return []byte{p.control}, nil }, (*PEF).setControl},
	0x02: {ipmb.Exactly(1), func(p *PEF, _, _ byte) ([]byte, error) { return []byte{byte(p.actions)}, nil }, (*PEF).setActions},
	0x03: {ipmb.Exactly(1), func(p *PEF, _, _ byte) ([]byte, error) { return []byte{p.delay}, nil }, (*PEF).setDelay},
	0x04: {ipmb.Exactly(1), func(p *PEF, _, _ byte) ([]byte, error) { return []byte{p.alertDelay}, nil }, (*PEF).setAlertDelay},
	0x05: {get: func(*PEF, byte, byte) ([]byte, error) { return []byte{filterCount}, nil }},
	0x06: {ipmb.Exactly(1 + FilterLen), (*PEF).getFilter, (*PEF).setFilter},
	0x07: {ipmb.Exactly(2), (*PEF).getFilterConfig, (*PEF).setFilterConfig},
	0x08: {get: func(*PEF, byte, byte) ([]byte, error) { return []byte{policyCount}, nil }},
	0x09: {ipmb.Exactly(1 + PolicyLen), (*PEF).getPolicy, (*PEF).setPolicy},
	0x0A: {ipmb.Exactly(len(guid{})), func(p *PEF, _, _ byte) ([]byte, error) { return slices.Clone(p.guid[:]), nil }, (*PEF).setGUID},
	0x0B: {get: func(*PEF, byte, byte) ([]byte, error) { return []byte{stringCount}, nil }},
	0x0C: {ipmb.Exactly(3), (*PEF).getKeys, (*PEF).setKeys},
	0x0D: {ipmb.Between(3, 2+blockLen), (*PEF).getString, (*PEF).setString},
}

func paramOf(selector byte) (*param, error) {
	if int(selector) >= len(params) {
		return nil, ipmb.ErrParamUnsupported
	}
	return &params[selector], nil
}

func (p *PEF) getParam(_ context.Context, req *ipmb.Request) ([]byte, error) {
	q, err := paramOf(req.Data[0] & paramMask)
	if err != nil {
		return nil, err
	}
	if req.Data[0]&paramRevisionOnly != 0 {
		return []byte{paramRevision}, nil
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	value, err := q.get(p, req.Data[1], req.Data[2])
	if err != nil {
		return nil, err
	}
	return append([]byte{paramRevision}, value...), nil
}

func (p *PEF) setParam(_ context.Context, req *ipmb.Request) ([]byte, error) {
	if req.Data[0]&^paramMask != 0 {
		return nil, ipmb.ErrInvalidField
	}
	q, err := paramOf(req.Data[0])
	data := req.Data[1:]
	switch {
	case err != nil:
		return nil, err
	case q.set == nil:
		return nil, ipmb.ErrParamReadOnly
	case len(data) < q.size.Min || len(data) > q.size.Max:
		return nil, ipmb.ErrLength
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	return nil, q.set(p, data)
}

// setProgress takes a mark that clients set while they write. What they write
// is kept at once, so that there is nothing left to commit, or to roll back.
func (p *PEF) setProgress(data []byte) error {
	switch data[0] {
	case setComplete:
		p.progress = setComplete
	case setInProgress:
		if p.progress != setComplete {
			return ipmb.ErrParamInProgress
		}
		p.progress = setInProgress
	case setCommit:
	default:
		return ipmb.ErrInvalidField
	}
	return nil
}

// store keeps a changed copy of the settings, and then takes it. What has not
// changed is kept already, here as with the tables: FreeIPMI writes everything
// that it has read.
func (p *PEF) store(change func(*config)) error {
	next := p.config
	change(&next)
	if next == p.config {
		return nil
	}
	if err := p.Records.Put(recordSettings, next.settings()); err != nil {
		return err
	}
	p.config = next
	return nil
}

// setControl also begins and ends filtering: what happened while it was off is
// none of its business.
func (p *PEF) setControl(data []byte) error {
	if data[0]&controlReserved != 0 {
		return ipmb.ErrInvalidField
	}
	if data[0]&controlEnabled != 0 && !p.enabled() {
		if err := p.begin(); err != nil {
			return err
		}
	}
	if err := p.store(func(c *config) { c.control = data[0] }); err != nil {
		return err
	}
	if !p.enabled() {
		p.pending = nil
	}
	return nil
}

func (p *PEF) setActions(data []byte) error {
	if Action(data[0])&^actionsSupported != 0 {
		return ipmb.ErrInvalidField
	}
	return p.store(func(c *config) { c.actions = Action(data[0]) })
}

func (p *PEF) setDelay(data []byte) error {
	return p.store(func(c *config) { c.delay = data[0] })
}

func (p *PEF) setAlertDelay(data []byte) error {
	return p.store(func(c *config) { c.alertDelay = data[0] })
}

func (p *PEF) setGUID(data []byte) error {
	if data[0]&^guidUsed != 0 {
		return ipmb.ErrInvalidField
	}
	if p.guid == guid(data) {
		return nil
	}
	if err := p.Records.Put(recordGUID, data); err != nil {
		return err
	}
	p.guid = guid(data)
	return nil
}
