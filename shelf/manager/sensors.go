package manager

import (
	"context"
	"encoding/binary"
	"fmt"
	"slices"
	"time"

	"github.com/midplane-project/midplane/ipmb"
	"github.com/midplane-project/midplane/ipmb/mc"
	"github.com/midplane-project/midplane/ipmb/sdr"
	"github.com/midplane-project/midplane/ipmb/sel"
	v1 "github.com/midplane-project/midplane/proto/midplane/v1"
	"github.com/midplane-project/midplane/shelf/state"
)

// The sensors of 0x20.
var (
	sensorReplicas = mc.SensorKey{Number: 0x01}
	sensorEventLog = mc.SensorKey{Number: 0x02}
)

// Offsets of the sensors (IPMI 2.0 tables 42-2 and 42-3).
const (
	eventRedundancy sel.EventType = 0x0B

	redundancyFull     = 0
	redundancyLost     = 1 // the next one that goes takes the quorum with it
	redundancyDegraded = 2
	redundancyNone     = 3 // there are too few replicas for any

	logFull              = 4
	logAlmostFull        = 5
	logAlmostFullPercent = 90
)

// replicasSettle is how long the number of replicas within reach must stay what
// it is: after an election streams are still being made.
const replicasSettle = 5 * time.Second

// sensorTold keeps what the log was told of the sensors' states last, so that a
// new leader tells what has changed meanwhile and nothing twice: number, states
// 2 with the low byte first, and so on.
const (
	sensorTold    = "sensor/told"
	sensorToldLen = 3
)

// ownSensors are the records of 0x20's sensors. Nobody switches them off: they
// tell of the shelf's own health.
func ownSensors() []sdr.Body {
	record := func(k mc.SensorKey, name string, kind sel.SensorType, event sel.EventType, come, gone uint16) *sdr.Compact {
		return &sdr.Compact{
			Sensor: sdr.Sensor{
				Key:          sdr.Key{Owner: uint8(ipmb.AddrShelfManager), Channel: ipmb.ChannelIPMB, Number: k.Number},
				Entity:       sdr.Entity{ID: sdr.EntityShelfMC, Instance: sdr.DeviceRelative},
				Init:         sdr.InitScanningAtPowerUp | sdr.InitEventsAtPowerUp,
				Capabilities: sdr.Capabilities{AutoRearm: true, Events: sdr.ControlGlobal},
				Kind:         kind, EventType: event, Assert: come, Deassert: gone, Readable: come,
				Units: sdr.Units{Format: sdr.AnalogNone},
			},
			Sharing: sdr.Sharing{Count: 1}, Name: name,
		}
	}
	const levels = 1<<logFull | 1<<logAlmostFull
	return []sdr.Body{
		record(sensorReplicas, "Replicas", sel.SensorHealth, eventRedundancy,
			1<<redundancyFull|1<<redundancyLost|1<<redundancyDegraded|1<<redundancyNone, 0),
		record(sensorEventLog, "Event Log", sel.SensorEventLogging, sel.EventSensor, levels, levels),
	}
}

// senses are 0x20's sensors and what feeds them in a tenure.
type senses struct {
	*mc.Sensors
	m *Manager

	next  time.Time       // to look; the reconciler's own
	ctx   context.Context // of the step under way
	begun bool
	told  map[uint8]uint16
	seen  uint8 // redundancy
	since time.Time
	lost  error // an event was not logged
}

func newSenses(m *Manager) *senses {
	s := &senses{m: m}
	var err error
	if s.Sensors, err = mc.NewSensors(mc.SensorConfig{SDRs: ownSensors(), Records: new(mc.MemoryRecords), Sink: s.happened, Log: m.cfg.Logger}); err != nil {
		panic(fmt.Sprintf("manager: sensors: %v", err)) // the records above are right
	}
	return s
}

// commands are the sensors' rows that read.
func (s *senses) commands() []ipmb.Command {
	return slices.DeleteFunc(s.Commands(), func(c ipmb.Command) bool { return c.Effect })
}

// happened logs an event of a sensor of 0x20.
func (s *senses) happened(lun ipmb.LUN, e sel.Event) {
	record := sel.SystemRecord(sel.ControllerGenerator(ipmb.AddrShelfManager, lun, ipmb.ChannelIPMB), e).Marshal()
	a, err := s.m.propose(s.ctx, &v1.Command{Kind: &v1.Command_AddSel{AddSel: &v1.AddSEL{
		Shelf: s.m.cfg.Shelf, Record: record[:], Source: uint32(ipmb.AddrShelfManager), Speaker: v1.Speaker_SPEAKER_CONTROLLER,
	}}})
	if err == nil && a.GetCompletionCode() != 0 {
		err = fmt.Errorf("refused: %s", a.GetRefusal())
	}
	if err != nil {
		s.lost = fmt.Errorf("event of a sensor not logged: %s: %w", sel.DescribeEvent(e), err)
	}
}

// sense is the reconciler's step that feeds the sensors.
func (s *senses) sense(ctx context.Context, _ state.Slot) error {
	s.ctx = ctx
	if !s.begun {
		s.told, s.begun = parseTold(s.m.cfg.State.Record(s.m.cfg.Shelf, sensorTold)), true
	}
	before := appendTold(nil, s.told)
	if err := s.senseReplicas(time.Now()); err != nil {
		return err
	}
	if err := s.senseLog(); err != nil {
		return err
	}
	after := appendTold(nil, s.told)
	if string(before) == string(after) {
		return nil
	}
	return s.m.put(ctx, putCommand(s.m.cfg.Shelf, sensorTold, after).GetPutRecords())
}

// feed takes a sensor to states. What it begins with is no event, unless the
// log was told otherwise. An event that is not logged is to happen again.
func (s *senses) feed(k mc.SensorKey, states uint16, data3 uint8) error {
	last, known := s.told[k.Number]
	if !known {
		last = states
	}
	s.lost = nil
	if err := s.Begin(k, offsets(last)...); err != nil {
		return err
	}
	for _, o := range offsets(last &^ states) {
		if err := s.Deassert(k, o, mc.NoData, data3); err != nil {
			return err
		}
	}
	for _, o := range offsets(states &^ last) {
		if err := s.Assert(k, o, mc.NoData, data3); err != nil {
			return err
		}
	}
	if s.lost == nil {
		s.told[k.Number] = states
	}
	return s.lost
}

func offsets(states uint16) (list []uint8) {
	for o := range uint8(15) {
		if states>>o&1 != 0 {
			list = append(list, o)
		}
	}
	return list
}

func (s *senses) senseReplicas(now time.Time) error {
	if s.m.cfg.Replicas == nil {
		return nil
	}
	r := redundancy(s.m.cfg.Replicas())
	if s.since.IsZero() || r != s.seen {
		s.seen, s.since = r, now
	}
	if now.Sub(s.since) < replicasSettle {
		return nil
	}
	return s.feed(sensorReplicas, 1<<r, mc.NoData)
}

// redundancy is how many replicas may be lost: all who are there are needed for
// the quorum, or not.
func redundancy(voters, reachable int) uint8 {
	switch quorum := voters/2 + 1; {
	case voters < 3:
		return redundancyNone
	case reachable >= voters:
		return redundancyFull
	case reachable > quorum:
		return redundancyDegraded
	}
	return redundancyLost
}

// senseLog tells how full the SEL is. It goes on when it is full, and drops its
// oldest records.
func (s *senses) senseLog() error {
	i, err := s.m.cfg.State.SEL(s.m.cfg.Shelf)
	if err != nil {
		return err
	}
	percent, states := i.Records*100/i.Limit, uint16(0)
	if percent >= logAlmostFullPercent {
		states |= 1 << logAlmostFull
	}
	if i.Records == i.Limit {
		states |= 1 << logFull
	}
	return s.feed(sensorEventLog, states, uint8(percent))
}

func appendTold(b []byte, told map[uint8]uint16) []byte {
	for _, k := range []mc.SensorKey{sensorReplicas, sensorEventLog} {
		if states, ok := told[k.Number]; ok {
			b = binary.LittleEndian.AppendUint16(append(b, k.Number), states)
		}
	}
	return b
}

func parseTold(b []byte) map[uint8]uint16 {
	told := make(map[uint8]uint16)
	for ; len(b) >= sensorToldLen; b = b[sensorToldLen:] {
		told[b[0]] = binary.LittleEndian.Uint16(b[1:])
	}
	return told
}
