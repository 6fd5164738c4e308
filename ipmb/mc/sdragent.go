package mc

import (
	"context"
	"encoding/binary"
	"sync/atomic"

	"github.com/midplane-project/midplane/ipmb"
	"github.com/midplane-project/midplane/ipmb/sdr"
	"github.com/midplane-project/midplane/ipmb/sel"
)

// Commands by which the initialization agent sets a sensor up (IPMI 2.0 §35).
const (
	cmdSetHysteresis  ipmb.Cmd = 0x24
	cmdSetThresholds  ipmb.Cmd = 0x26
	cmdSetEventEnable ipmb.Cmd = 0x28
	cmdSetSensorType  ipmb.Cmd = 0x2E
)

// Run Initialization Agent (IPMI 2.0 §33.21): the request's bit 0 runs it, the
// answer's tells that it is done.
const (
	agentRun  = 0x01
	agentDone = 0x01
)

// sdrAgent is the initialization agent: it sets sensors up as the repository's
// records say. At the controller's start its sensors do so themselves.
type sdrAgent struct{ running atomic.Bool }

func (r *SDRRepository) runAgent(ctx context.Context, req *ipmb.Request) ([]byte, error) {
	if req.Data[0]&agentRun != 0 && r.agent.running.CompareAndSwap(false, true) {
		v, err := r.look(ctx)
		if err != nil {
			r.agent.running.Store(false)
			return nil, err
		}
		r.cfg.Spawn(func(ctx context.Context) {
			defer r.agent.running.Store(false)
			r.initialize(ctx, v.records)
		})
	}
	if r.agent.running.Load() {
		return []byte{0}, nil
	}
	return []byte{agentDone}, nil
}

// initialize sets up the controller's own sensors. Those of others are theirs:
// whoever adds a record here could otherwise set a neighbour's thresholds,
// which the guest policy forbids. A sensor that refuses is left as it is.
func (r *SDRRepository) initialize(ctx context.Context, records []SDRRecord) {
	for _, record := range records {
		_, body, err := sdr.Parse(record)
		if err != nil {
			continue
		}
		for _, q := range sensorSetup(body, uint8(r.cfg.Addr)) {
			q.Origin = ipmb.Origin{Privilege: ipmb.PrivilegeAdmin, Source: r.cfg.Addr}
			r.cfg.Sensors.ServeIPMI(ctx, q)
		}
	}
}

// sensorSetup gives the requests that set up the sensors of a record, if they
// are the controller's.
func sensorSetup(body sdr.Body, owner uint8) (out []*ipmb.Request) {
	switch b := body.(type) {
	case *sdr.Full:
		if b.Owner == owner {
			out = setup(&b.Sensor, b.Number, b.HystUp, b.HystDown, &b.Thresholds)
		}
	case *sdr.Compact:
		for i := range max(b.Sharing.Count, 1) {
			if b.Owner == owner {
				out = append(out, setup(&b.Sensor, b.Number+i, b.HystUp, b.HystDown, nil)...)
			}
		}
	}
	return out
}

func setup(s *sdr.Sensor, number, up, down uint8, t *sdr.Thresholds) (out []*ipmb.Request) {
	ask := func(c ipmb.Cmd, data ...byte) {
		out = append(out, &ipmb.Request{NetFn: ipmb.NetFnSensor, LUN: s.LUN, Cmd: c, Data: append([]byte{number}, data...)})
	}
	if s.Init&sdr.InitType != 0 {
		ask(cmdSetSensorType, byte(s.Kind), byte(s.EventType))
	}
	if settable := byte(s.Readable >> 8 & 0x3F); s.Init&sdr.InitThresholds != 0 && t != nil && settable != 0 {
		ask(cmdSetThresholds, settable, t.LowerNonCritical, t.LowerCritical, t.LowerNonRecoverable,
			t.UpperNonCritical, t.UpperCritical, t.UpperNonRecoverable)
	}
	if s.Init&sdr.InitHysteresis != 0 && s.Capabilities.Hysteresis == sdr.AccessSet {
		ask(cmdSetHysteresis, 0xFF, up, down)
	}
	if s.Init&(sdr.InitEvents|sdr.InitScanning) != 0 {
		ask(cmdSetEventEnable, eventSetup(s)...)
	}
	return out
}

// eventSetup is the data of Set Sensor Event Enable behind the number
// (IPMI 2.0 §35.10): [7] events [6] scanning [5:4] 1 enable those selected, 0
// leave them; then the masks of assertion and deassertion events.
func eventSetup(s *sdr.Sensor) []byte {
	const events, scanning, selected = 0x80, 0x40, 0x10
	var flags byte
	if s.Init&(sdr.InitEvents|sdr.InitEventsAtPowerUp) != 0 {
		flags |= events
	}
	if s.Init&(sdr.InitScanning|sdr.InitScanningAtPowerUp) != 0 {
		flags |= scanning
	}
	if s.Init&sdr.InitEvents == 0 || s.Capabilities.Events != sdr.ControlPerState {
		return []byte{flags}
	}
	mask := uint16(0x7FFF)
	if s.EventType == sel.EventThreshold {
		mask = 0x0FFF // above: which thresholds are compared
	}
	b := binary.LittleEndian.AppendUint16([]byte{flags | selected}, s.Assert&mask)
	return binary.LittleEndian.AppendUint16(b, s.Deassert&mask)
}
