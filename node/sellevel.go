package node

import (
	"github.com/midplane-project/midplane/ipmb/mc"
	"github.com/midplane-project/midplane/ipmb/sel"
)

// selSensor is the number of the sensor "event log" of a node.
const selSensor = 0x16

// Offsets of sensor type 10h, event logging (IPMI 2.0 table 42-3), and what
// event data 1 says of event data 3: it has the fill level in percent.
const (
	selFull       byte = 0x04
	selAlmostFull byte = 0x05
	selLevelInED3 byte = 0x30

	selAlmostFullPercent = 90
)

// levelEvent gives the event of a log that has just grown to n records, if
// they are those that fill it. The event that the log is full takes its last
// place, so that no record is lost for it. Since records come one at a time,
// each level is told once, and again when the log has fallen below it.
func (s *localSEL) levelEvent(n int) (e mc.SELEntry, ok bool) {
	almost := (s.limit*selAlmostFullPercent + 99) / 100
	switch n {
	case almost:
		return s.ownEvent(selAlmostFull, selAlmostFullPercent), true
	case s.limit - 1:
		return s.ownEvent(selFull, 100), true
	}
	return e, false
}

// ownEvent is a record of the log's own sensor, not yet stamped.
func (s *localSEL) ownEvent(offset, percent byte) mc.SELEntry {
	gen := generator(s.self, 0)
	return mc.SELEntry{
		2: mc.SELTypeSystem, 7: byte(gen), 8: byte(gen >> 8), 9: sel.Revision,
		10: byte(sel.SensorEventLogging), 11: selSensor, 12: byte(sel.EventSensor),
		13: selLevelInED3 | offset, 14: 0xFF, 15: percent,
	}
}
