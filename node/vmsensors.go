package node

import (
	"context"

	"github.com/midplane-project/midplane/ipmb"
	"github.com/midplane-project/midplane/ipmb/mc"
	"github.com/midplane-project/midplane/node/power"
	"github.com/midplane-project/midplane/node/vm"
)

// vmWatcher is told what happens to the VM.
type vmWatcher interface {
	// vmFound says where the VM is when the node comes to it.
	vmFound(power.State)
	// vmHappened tells an event; ours: the node is about to end the VM.
	vmHappened(e power.Event, ours bool)
	// vmPressed tells that the node pressed the power button, and vmCycled that
	// it began a power cycle.
	vmPressed()
	vmCycled()
}

// vmWatchers are told one after the other.
type vmWatchers []vmWatcher

func (w vmWatchers) each(tell func(vmWatcher)) {
	for _, one := range w {
		tell(one)
	}
}

func (w vmWatchers) vmFound(s power.State) { w.each(func(o vmWatcher) { o.vmFound(s) }) }
func (w vmWatchers) vmPressed()            { w.each(vmWatcher.vmPressed) }
func (w vmWatchers) vmCycled()             { w.each(vmWatcher.vmCycled) }

func (w vmWatchers) vmHappened(e power.Event, ours bool) {
	w.each(func(o vmWatcher) { o.vmHappened(e, ours) })
}

// unwatched is nobody who watches.
type unwatched struct{}

func (unwatched) vmFound(power.State)          {}
func (unwatched) vmHappened(power.Event, bool) {}
func (unwatched) vmPressed()                   {}
func (unwatched) vmCycled()                    {}

// vmStates gives what ACPI and VM sensor say in a state of the VM; ok is false
// while nothing is known. The VM has power when host.On says so.
func vmStates(s power.State) (acpi, availability uint8, ok bool) {
	switch s {
	case power.Off, power.Shutdown:
		return acpiOff, vmOff, true
	case power.Crashed:
		return acpiOff, vmCrashed, true
	case power.Prelaunch:
		return acpiWorking, vmLoaded, true
	case power.Running:
		return acpiWorking, vmRunning, true
	case power.Paused:
		return acpiWorking, vmPaused, true
	case power.Suspended:
		return acpiSleeps, vmSleeps, true
	}
	return 0, 0, false
}

// vmFound implements vmWatcher. That the VM is where it was is no event.
func (s *sensors) vmFound(state power.State) {
	s.vmBegins(state)
	s.osStarts()
	s.osFound(state)
}

// vmBegins says where a VM is of which nothing was known.
func (s *sensors) vmBegins(state power.State) {
	acpi, availability, ok := vmStates(state)
	if !ok {
		s.vmLost()
		return
	}
	s.note(s.Begin(sensorACPI, acpi))
	s.note(s.Begin(sensorVM, availability))
	if acpi == acpiOff {
		s.note(s.Begin(sensorPower, powerOff))
	} else {
		s.note(s.Begin(sensorPower))
	}
	s.partsBegin(acpi != acpiOff)
}

// vmLost says that nothing is known of the VM.
func (s *sensors) vmLost() {
	for _, k := range []mc.SensorKey{sensorACPI, sensorVM, sensorPower, sensorCPU, sensorMemory} {
		s.note(s.SetUnavailable(k))
	}
}

// osStarts says that no operating system has stopped yet.
func (s *sensors) osStarts() { s.note(s.Begin(sensorOSStop)) }

// vmHappened implements vmWatcher.
func (s *sensors) vmHappened(e power.Event, ours bool) {
	switch {
	case e.Kind == power.EventPanicked:
		s.note(s.Assert(sensorOSStop, osCriticalStop, mc.NoData, mc.NoData))
	case e.Kind == power.EventShutdown && e.Guest && !ours && e.Reason == guestShutdown:
		s.note(s.Assert(sensorOSStop, osShutdown, mc.NoData, mc.NoData))
	case e.Kind == power.EventReset, e.Kind == power.EventStarted && e.State == power.Prelaunch:
		s.osStarts()
	}
	if boots(e) {
		s.osAwaited()
	}
	s.partsHappened(e)
	s.vmIs(e.State)
}

// guestShutdown is QEMU's word for a guest that powers itself off, and not one
// that panicked (qapi/run-state.json, ShutdownCause).
const guestShutdown = "guest-shutdown"

// vmIs takes the sensors to a state of the VM.
func (s *sensors) vmIs(state power.State) {
	acpi, availability, ok := vmStates(state)
	if !ok {
		s.vmLost()
		return
	}
	if acpi == acpiOff {
		s.note(s.Assert(sensorPower, powerOff, mc.NoData, mc.NoData))
	} else {
		s.note(s.Deassert(sensorPower, powerOff, mc.NoData, mc.NoData))
	}
	s.partsAre(acpi != acpiOff)
	s.note(s.Enter(sensorACPI, acpi, mc.NoData, mc.NoData))
	s.note(s.Enter(sensorVM, availability, mc.NoData, mc.NoData))
}

// vmPressed implements vmWatcher.
func (s *sensors) vmPressed() { s.note(s.Pulse(sensorButton, buttonPressed, mc.NoData, mc.NoData)) }

// vmCycled implements vmWatcher.
func (s *sensors) vmCycled() { s.note(s.Pulse(sensorPower, powerCycled, mc.NoData, mc.NoData)) }

// sensed is the VM's power, which a watcher sees used.
type sensed struct {
	payload
	watch vmWatcher
}

// Cycle implements payload.
func (p sensed) Cycle(ctx context.Context) error {
	err := p.payload.Cycle(ctx)
	if err == nil {
		p.watch.vmCycled()
	}
	return err
}

// Press implements payload. A soft shutdown is a press of the power button.
func (p sensed) Press(ctx context.Context, c vm.Command) error {
	err := p.payload.Press(ctx, c)
	if err == nil && c == vm.CommandGracefulPower {
		p.watch.vmPressed()
	}
	return err
}

// Clock synchronisation of the system event sensor (IPMI 2.0 table 42-3): the
// SEL's clock, first and second event of the pair.
const (
	clockFirst  = 0x00
	clockSecond = 0x80
)

// cmdGetDeviceSDR reads a controller's own records (IPMI 2.0 §35.3).
const cmdGetDeviceSDR ipmb.Cmd = 0x21

// cmdSetSELTime sets the log's clock (IPMI 2.0 §31.11).
const cmdSetSELTime ipmb.Cmd = 0x49

// clockRows makes Set SEL Time tell of itself before and after, so that the
// log shows by how much its times jump.
func (s *sensors) clockRows(rows []ipmb.Command) []ipmb.Command {
	for i := range rows {
		if rows[i].NetFn != ipmb.NetFnStorage || rows[i].Cmd != cmdSetSELTime {
			continue
		}
		set := rows[i].Do
		rows[i].Do = func(ctx context.Context, req *ipmb.Request) ([]byte, error) {
			s.note(s.Pulse(sensorSystem, systemClockSync, clockFirst, mc.NoData))
			out, err := set(ctx, req)
			if err == nil {
				s.note(s.Pulse(sensorSystem, systemClockSync, clockSecond, mc.NoData))
			}
			return out, err
		}
	}
	return rows
}
