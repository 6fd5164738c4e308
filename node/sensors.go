package node

import (
	"log/slog"

	"github.com/midplane-project/midplane/ipmb"
	"github.com/midplane-project/midplane/ipmb/mc"
	"github.com/midplane-project/midplane/ipmb/sdr"
	"github.com/midplane-project/midplane/ipmb/sel"
)

// The node's sensors, on LUN 0. Numbers below 10h are left to what a shelf
// asks of its boards.
var (
	sensorLink = mc.SensorKey{Number: 0x02}

	sensorACPI     = mc.SensorKey{Number: 0x10}
	sensorVM       = mc.SensorKey{Number: 0x11}
	sensorPower    = mc.SensorKey{Number: 0x12}
	sensorButton   = mc.SensorKey{Number: 0x13}
	sensorOSStop   = mc.SensorKey{Number: 0x14}
	sensorSystem   = mc.SensorKey{Number: 0x15}
	sensorEventLog = mc.SensorKey{Number: selSensor}
	sensorWatchdog = mc.SensorKey{Number: 0x17}
	sensorOSBoot   = mc.SensorKey{Number: 0x18}
	sensorCPU      = mc.SensorKey{Number: 0x19}
	sensorMemory   = mc.SensorKey{Number: 0x1A}
)

// Offsets of the sensors (IPMI 2.0 tables 42-2 and 42-3).
const (
	acpiWorking = 0 // S0
	acpiSleeps  = 3 // S3
	acpiOff     = 5 // S5

	vmRunning = 0 // generic availability states
	vmOff     = 2
	vmLoaded  = 3 // on line: it has not run yet
	vmCrashed = 4 // off line
	vmPaused  = 5 // off duty
	vmSleeps  = 7 // power save

	powerOff    = 0
	powerCycled = 1

	buttonPressed = 0 // power button

	osCriticalStop = 1 // at run-time
	osShutdown     = 3 // graceful

	cpuError   = 0 // IERR
	cpuTrip    = 1 // thermal trip
	cpuPresent = 7

	memoryError   = 1 // uncorrectable ECC: QEMU tells of no others
	memoryPresent = 6

	systemPEF       = 4 // what PEF is about to do; it reports that itself
	systemClockSync = 5
)

// eventAvailability is the generic event type of the VM's states.
const eventAvailability sel.EventType = 0x0A

// discrete is a discrete sensor of the node's: its states, and those whose
// coming and going are events.
type discrete struct {
	key                mc.SensorKey
	name               string
	kind               sel.SensorType
	eventType          sel.EventType
	states, come, gone uint16
}

// offsets gives the mask of some offsets.
func offsets(list ...uint8) (mask uint16) {
	for _, o := range list {
		mask |= 1 << o
	}
	return mask
}

// discreteSensors are what the node has a source for.
var discreteSensors = []discrete{
	{
		sensorACPI, "ACPI State", sel.SensorACPIPower, sel.EventSensor,
		offsets(acpiWorking, acpiSleeps, acpiOff), offsets(acpiWorking, acpiSleeps, acpiOff), 0,
	},
	{
		sensorVM, "VM State", sel.SensorOEM, eventAvailability,
		offsets(vmRunning, vmOff, vmLoaded, vmCrashed, vmPaused, vmSleeps), offsets(vmRunning, vmOff, vmCrashed, vmPaused, vmSleeps), 0,
	},
	{
		sensorPower, "Power Unit", sel.SensorPowerUnit, sel.EventSensor,
		offsets(powerOff, powerCycled), offsets(powerOff, powerCycled), offsets(powerOff),
	},
	{sensorButton, "Button", sel.SensorButton, sel.EventSensor, offsets(buttonPressed), offsets(buttonPressed), 0},
	{
		sensorOSStop, "OS Stop", sel.SensorOSStop, sel.EventSensor,
		offsets(osCriticalStop, osShutdown), offsets(osCriticalStop, osShutdown), 0,
	},
	{
		sensorSystem, "System Event", sel.SensorSystemEvent, sel.EventSensor,
		offsets(systemPEF, systemClockSync), offsets(systemPEF, systemClockSync), 0,
	},
	{
		sensorEventLog, "Event Log", sel.SensorEventLogging, sel.EventSensor,
		offsets(selFull, selAlmostFull), offsets(selFull, selAlmostFull), offsets(selFull, selAlmostFull),
	},
	{
		sensorWatchdog, "Watchdog", sel.SensorWatchdog, sel.EventSensor,
		offsets(0, 1, 2, 3, 8), offsets(0, 1, 2, 3, 8), 0,
	},
	{
		sensorOSBoot, "OS Boot", sel.SensorOSBoot, sel.EventSensor, offsetsBooted, offsetsBooted, 0,
	},
	{
		sensorCPU, "Processor", sel.SensorProcessor, sel.EventSensor,
		offsets(cpuError, cpuTrip, cpuPresent), offsets(cpuError, cpuTrip), 0,
	},
	{
		sensorMemory, "Memory", sel.SensorMemory, sel.EventSensor, offsets(memoryError, memoryPresent), offsets(memoryError), 0,
	},
}

var offsetsBooted = offsets(bootedDisk, bootedPXE, bootedDiagnostic, bootedCD, bootedSomewhere)

// linkSensor is what an IPM controller has beside them: its state is which
// halves of IPMB-0 it has.
var linkSensor = discrete{
	sensorLink, "IPMB Link", sel.SensorIPMBLink, sel.EventSensor, offsets(0, 1, 2, 3), offsets(0, 1, 2, 3), 0,
}

// discrete are the discrete sensors of a controller.
func (id Identity) discrete() (out []discrete) {
	for _, d := range discreteSensors {
		if id.senses(d.key) {
			out = append(out, d)
		}
	}
	if id.Profile == ProfileServer {
		return out
	}
	return append(out, linkSensor)
}

// measured is what a sensor measures, where that is not the controller's board.
var measured = map[mc.SensorKey]sdr.EntityID{sensorCPU: sdr.EntityProcessor, sensorMemory: sdr.EntityMemory}

// entityOf is what a sensor of the node's own belongs to.
func (id Identity) entityOf(k mc.SensorKey) sdr.Entity {
	if part, ok := measured[k]; ok {
		return id.situated(sdr.Entity{ID: part, Instance: 1})
	}
	return id.entity()
}

// senses reports whether the controller has a sensor of the table. One that can
// have no VM has only those about itself.
func (id Identity) senses(k mc.SensorKey) bool {
	return id.Profile != ProfileFanTray || k == sensorSystem || k == sensorEventLog
}

// record is the sensor's data record at a controller.
func (d *discrete) record(owner ipmb.Addr, e sdr.Entity) *sdr.Compact {
	return &sdr.Compact{
		Sensor: sdr.Sensor{
			Key: sdr.Key{Owner: uint8(owner), Channel: ipmb.ChannelIPMB, LUN: d.key.LUN, Number: d.key.Number}, Entity: e,
			Init:         sdr.InitScanningAtPowerUp | sdr.InitEventsAtPowerUp | sdr.InitSettable,
			Capabilities: sdr.Capabilities{AutoRearm: true, Events: sdr.ControlPerState},
			Kind:         d.kind, EventType: d.eventType,
			Assert: d.come, Deassert: d.gone, Readable: d.states, Units: sdr.Units{Format: sdr.AnalogNone},
		},
		Sharing: sdr.Sharing{Count: 1}, Name: d.name,
	}
}

// sensors is the node's sensor device with what feeds it.
type sensors struct {
	*mc.Sensors
	sdrs    []sdr.Body
	log     *slog.Logger
	fill    logFill
	climate *climate
	faults  *SensorFaults
	boot    *osBoot
}

// openSensors makes the sensors, whose events go where those of the guest go.
func (c *Controller) openSensors(p parts, r mc.Records) (s *sensors, err error) {
	s = &sensors{log: c.log}
	s.faults = &SensorFaults{sensors: s, number: p.faultIDs, log: c.log}
	for _, d := range c.id.discrete() {
		s.sdrs = append(s.sdrs, d.record(c.id.Addr, c.id.entityOf(d.key)))
	}
	if s.boot, err = openOSBoot(r, p.life.device); err != nil {
		return nil, err
	}
	s.equip(c.id, p.template, p.load, p.air)
	if err := s.climate.resume(r); err != nil {
		return nil, err
	}
	if c.id.Profile == ProfileATCA {
		s.sdrs = append(s.sdrs, fruRecord(c.id))
	}
	s.Sensors, err = mc.NewSensors(mc.SensorConfig{SDRs: s.readable(), Records: r, Sink: c.happened, Log: c.log})
	if err != nil {
		return nil, err
	}
	// These have nothing to wait for: what they tell has not happened yet.
	for _, k := range []mc.SensorKey{sensorButton, sensorSystem, sensorWatchdog} {
		if c.id.senses(k) {
			s.note(s.Begin(k))
		}
	}
	return s, c.watchLog(s)
}

// readable are the records of sensors that can be read.
func (s *sensors) readable() (out []sdr.Body) {
	for _, body := range s.sdrs {
		if r, _, _ := sensorOf(body); r != nil {
			out = append(out, body)
		}
	}
	return out
}

// note takes what a feed gives. It errs only for a sensor or a state that is
// not in the table above.
func (s *sensors) note(err error) {
	if err != nil {
		s.log.Error("sensor not fed", "err", err)
	}
}

// happened reports an event of one of the node's own sensors.
func (c *Controller) happened(lun ipmb.LUN, e sel.Event) {
	req := &ipmb.Request{Origin: ipmb.Origin{Speaker: ipmb.SpeakerController, Door: ipmb.DoorInternal}}
	if err := c.events.report(c.ctx, req, generator(c.id.Addr, lun), e.AppendBus(nil)); err != nil {
		c.log.Error("event of a sensor not kept", "event", sel.DescribeEvent(e), "err", err)
	}
}
