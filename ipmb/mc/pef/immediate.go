package pef

import (
	"context"
	"errors"

	"github.com/midplane-project/midplane/ipmb"
)

// Alert Immediate (IPMI 2.0 §30.7): channel, operation and destination,
// string; then, if there is one, an event as Platform Event has it from the
// system interface.
const (
	immediateLen      = 3
	immediateEventLen = 8

	immediateStart  = 0x00 // operations, [7:6]
	immediateStatus = 0x40
	immediateClear  = 0x80
	immediateOp     = 0xC0
	immediateUnused = 0x30
	stringSent      = 0x80
)

// What became of it.
const (
	immediateNone           = 0x00
	immediateDone           = 0x01
	immediateFailed         = 0x02
	immediateUnacknowledged = 0x03
	immediateUnderWay       = 0xFF
)

// codeImmediateBusy says that one alert is under way (§30.7).
const codeImmediateBusy ipmb.CompletionCode = 0x81

// The event of an alert that was given none: a platform alert, a platform
// event trap was made (IPMI 2.0 table 42-3).
const (
	typePlatformAlert = 0x24
	offsetTrapMade    = 0x02
	sensorNone        = 0xFF
)

func (p *PEF) alertImmediate(ctx context.Context, req *ipmb.Request) ([]byte, error) {
	d := req.Data
	if d[0]&0xF0 != 0 || d[1]&immediateUnused != 0 {
		return nil, ipmb.ErrInvalidField
	}
	switch d[1] & immediateOp {
	case immediateStart:
		return nil, p.startImmediate(ctx, d)
	case immediateStatus:
		p.mu.Lock()
		defer p.mu.Unlock()
		return []byte{p.immediate}, nil
	case immediateClear:
		p.mu.Lock()
		defer p.mu.Unlock()
		if p.immediate == immediateUnderWay {
			return nil, codeImmediateBusy
		}
		p.immediate = immediateNone
		return nil, nil
	}
	return nil, ipmb.ErrInvalidField
}

// startImmediate checks where the alert is to go, and sends it in a goroutine
// of its own: its destination may take minutes to acknowledge it.
func (p *PEF) startImmediate(ctx context.Context, d []byte) error {
	e, err := p.immediateEvent(ctx, d[immediateLen:])
	if err != nil {
		return err
	}
	text, err := p.immediateText(d[2])
	if err != nil {
		return err
	}
	channel, number := d[0], d[1]&0x0F
	to, ok := p.Network.Destination(ctx, channel, number)
	if !ok || to.Kind != KindPET {
		return ipmb.ErrInvalidField
	}
	if _, err := p.allowed(to); err != nil {
		p.Logger.Warn("alert refused", "channel", channel, "destination", number, "address", to.Addr, "err", err)
		return ipmb.ErrDestination
	}
	if !p.beginImmediate() {
		return codeImmediateBusy
	}
	p.Spawn(func(ctx context.Context) {
		err := p.deliver(ctx, to, e, SeverityUnspecified, text)
		if err != nil {
			p.Logger.Warn("alert not delivered", "channel", channel, "destination", number, "address", to.Addr, "err", err)
		}
		p.endImmediate(err)
	})
	return nil
}

// immediateEvent is the event that the alert is to tell of.
func (p *PEF) immediateEvent(ctx context.Context, given []byte) (Event, error) {
	now := uint32(p.Log.SELTime(ctx).Unix())
	switch {
	case len(given) == 0:
		return Event{
			Time: now, Generator: p.Source.generator(), SensorType: typePlatformAlert, Sensor: sensorNone,
			Trigger: sensorSpecific, Data: [3]byte{offsetTrapMade, dataUnused, dataUnused},
		}, nil
	case len(given) != immediateEventLen:
		return Event{}, ipmb.ErrLength
	}
	return Event{
		Time: now, Generator: uint16(given[0]), SensorType: given[2], Sensor: given[3], Trigger: given[4], Data: [3]byte(given[5:]),
	}, nil
}

// immediateText is the alert string, which may be the volatile one.
func (p *PEF) immediateText(selector byte) (string, error) {
	if selector&stringSent == 0 {
		return "", nil
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	s, err := p.text(selector & stringMask)
	if err != nil {
		return "", err
	}
	return s.String(), nil
}

func (p *PEF) beginImmediate() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.immediate == immediateUnderWay {
		return false
	}
	p.immediate = immediateUnderWay
	return true
}

func (p *PEF) endImmediate(err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case err == nil:
		p.immediate = immediateDone
	case errors.Is(err, errUnacknowledged):
		p.immediate = immediateUnacknowledged
	default:
		p.immediate = immediateFailed
	}
}
