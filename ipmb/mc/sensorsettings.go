package mc

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"

	"github.com/midplane-project/midplane/ipmb/sdr"
	"github.com/midplane-project/midplane/ipmb/sel"
)

// sensorSettings is what commands set up, and what outlives the process.
type sensorSettings struct {
	thresholds [thresholdCount]uint8
	hystUp     uint8
	hystDown   uint8
	scanning   bool
	events     bool   // event messages of the sensor as a whole
	assert     uint16 // enabled events, by event offset
	deassert   uint16
	kind       sel.SensorType
	eventType  sel.EventType
}

// initial gives the settings of the sensor's record. What it says is on at
// power-up, and what it tells an initialisation agent to switch on, is on: the
// controller is its own agent. Thresholds and hysteresis have no other default
// than the record's.
func (n *sensor) initial() sensorSettings {
	r := n.sdr
	s := sensorSettings{
		scanning: r.Init&(sdr.InitScanningAtPowerUp|sdr.InitScanning) != 0,
		events:   r.Init&(sdr.InitEventsAtPowerUp|sdr.InitEvents) != 0,
		assert:   r.Assert & n.offsets(), deassert: r.Deassert & n.offsets(),
		kind: r.Kind, eventType: r.EventType,
	}
	if r.Capabilities.Events == sdr.ControlNoEvents {
		s.events = false
	}
	if f := n.full; f != nil {
		t := f.Thresholds
		s.thresholds = [thresholdCount]uint8{
			t.LowerNonCritical, t.LowerCritical, t.LowerNonRecoverable,
			t.UpperNonCritical, t.UpperCritical, t.UpperNonRecoverable,
		}
		s.hystUp, s.hystDown = f.HystUp, f.HystDown
	}
	return s
}

// meaning stands for what raw numbers and offsets of the sensor mean. Settings
// that were made when they meant something else are not taken back.
func (n *sensor) meaning() uint32 {
	b := fmt.Appendf(nil, "%d %d %+v %04x %04x", n.sdr.Kind, n.sdr.EventType, n.sdr.Units, n.sdr.Assert, n.sdr.Deassert)
	if n.full != nil {
		b = fmt.Appendf(b, " %+v", n.full.Factors)
	}
	return crc32.ChecksumIEEE(b)
}

// Settings on disk:
//
//	meaning 4  thresholds 6  hysteresis 2  [1] events [0] scanning
//	assertion events 2  deassertion events 2  sensor type  event type
const (
	settingsLen     = 19
	settingScanning = 0x01
	settingEvents   = 0x02
)

func (s *sensorSettings) append(b []byte, meaning uint32) []byte {
	b = binary.LittleEndian.AppendUint32(b, meaning)
	b = append(append(b, s.thresholds[:]...), s.hystUp, s.hystDown)
	var flags byte
	if s.scanning {
		flags |= settingScanning
	}
	if s.events {
		flags |= settingEvents
	}
	b = binary.LittleEndian.AppendUint16(append(b, flags), s.assert)
	b = binary.LittleEndian.AppendUint16(b, s.deassert)
	return append(b, byte(s.kind), byte(s.eventType))
}

// parseSettings reads settings. ok is false for those of another meaning.
func parseSettings(b []byte, meaning uint32) (s sensorSettings, ok bool) {
	if len(b) != settingsLen || binary.LittleEndian.Uint32(b) != meaning {
		return sensorSettings{}, false
	}
	return sensorSettings{
		thresholds: [thresholdCount]uint8(b[4:]), hystUp: b[10], hystDown: b[11],
		scanning: b[12]&settingScanning != 0, events: b[12]&settingEvents != 0,
		assert: binary.LittleEndian.Uint16(b[13:]), deassert: binary.LittleEndian.Uint16(b[15:]),
		kind: sel.SensorType(b[17]), eventType: sel.EventType(b[18]),
	}, true
}

func (n *sensor) recordName() string { return "sensor/" + n.key.String() }

func (s *Sensors) load(n *sensor, to *sensorSettings) error {
	b, err := s.records.Get(n.recordName())
	if err != nil {
		return err
	}
	if kept, ok := parseSettings(b, n.meaning()); ok {
		*to = kept
	}
	return nil
}

func (s *Sensors) save(n *sensor, settings *sensorSettings) error {
	return s.records.Put(n.recordName(), settings.append(nil, n.meaning()))
}
