package node

import (
	"github.com/midplane-project/midplane/ipmb/mc"
	"github.com/midplane-project/midplane/node/power"
)

// cpuTemp is the thermal model's value that the processor trips by.
const cpuTemp = "cpu_temp"

// upperNonRecoverable is the bit of that threshold in a sensor's states.
const upperNonRecoverable = 1 << 5

// partsBegin says whether the VM has its processors and its memory, of which
// nothing else is known.
func (s *sensors) partsBegin(on bool) {
	if !on {
		s.note(s.Begin(sensorCPU))
		s.note(s.Begin(sensorMemory))
		return
	}
	s.note(s.Begin(sensorCPU, cpuPresent))
	s.note(s.Begin(sensorMemory, memoryPresent))
}

// partsAre says whether the VM has them by now. Their errors stay until it
// boots again: what they led to is often that it is off.
func (s *sensors) partsAre(on bool) {
	feed := s.Deassert
	if on {
		feed = s.Assert
	}
	s.note(feed(sensorCPU, cpuPresent, mc.NoData, mc.NoData))
	s.note(feed(sensorMemory, memoryPresent, mc.NoData, mc.NoData))
}

// partsHappened takes what QEMU tells of them. Each error of the memory is an
// event, whether or not there was one before.
func (s *sensors) partsHappened(e power.Event) {
	switch {
	case e.Kind == power.EventReset, e.Kind == power.EventStarted && e.State == power.Prelaunch:
		s.partsBegin(true)
	case e.Kind == power.EventMemory:
		s.note(s.Deassert(sensorMemory, memoryError, mc.NoData, mc.NoData))
		s.note(s.Assert(sensorMemory, memoryError, mc.NoData, mc.NoData))
	case e.Reason == power.InternalError:
		s.note(s.Assert(sensorCPU, cpuError, mc.NoData, mc.NoData))
	}
}

// trip makes the processor follow the sensors that measure its temperature: one
// beyond its upper non-recoverable threshold is a thermal trip.
func (s *sensors) trip() {
	states := s.States(sensorCPU)
	if states>>cpuPresent&1 == 0 {
		return
	}
	hot := false
	for k, source := range s.climate.sources {
		hot = hot || source.Model == cpuTemp && s.States(k)&upperNonRecoverable != 0
	}
	switch {
	case hot:
		s.note(s.Assert(sensorCPU, cpuTrip, mc.NoData, mc.NoData))
	case states>>cpuTrip&1 != 0:
		s.note(s.Deassert(sensorCPU, cpuTrip, mc.NoData, mc.NoData))
	}
}
