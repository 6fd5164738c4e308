package node

import (
	"context"
	"errors"
	"sync"

	"github.com/midplane-project/midplane/ipmb"
	"github.com/midplane-project/midplane/ipmb/mc"
	"github.com/midplane-project/midplane/node/power"
)

// Offsets of the OS boot sensor (IPMI 2.0 table 42-3).
const (
	bootedDisk       = 1
	bootedPXE        = 2
	bootedDiagnostic = 3
	bootedCD         = 4
	bootedSomewhere  = 6 // the device is not told
)

// bootedFrom is what the sensor says of what the VM was told to boot.
var bootedFrom = map[mc.BootDevice]uint8{
	mc.BootPXE:  bootedPXE,
	mc.BootDisk: bootedDisk, mc.BootDiskSafe: bootedDisk, mc.BootRemoteDisk: bootedDisk,
	mc.BootDiagnostic: bootedDiagnostic,
	mc.BootCD:         bootedCD, mc.BootRemoteCD: bootedCD,
}

// recordOSBoot keeps one byte: bootAwaited, or the offset that the last boot had.
const recordOSBoot = "osboot"

const (
	bootAwaited  = 0xFF // the VM boots, and its operating system has not come up
	bootUnknown  = 0xFE // how the VM booted was not seen
	osBootLength = 1
)

// osBoot waits for the operating system of each boot. It is there when its IPMI
// driver sets the global enables, which Linux does as the driver loads. A driver
// that is loaded again in the same boot is no news, nor is one that a new
// process of the node finds at work: so what is awaited is on disk.
type osBoot struct {
	records mc.Records
	device  func() mc.BootDevice // of this boot

	mu    sync.Mutex
	state byte
}

func openOSBoot(r mc.Records, device func() mc.BootDevice) (*osBoot, error) {
	o := &osBoot{records: r, device: device, state: bootUnknown}
	v, err := r.Get(recordOSBoot)
	if err != nil {
		return nil, err
	}
	if len(v) == osBootLength {
		o.state = v[0]
	}
	return o, nil
}

// keep changes what is kept. The caller has o.mu.
func (o *osBoot) keep(state byte) error {
	if state == o.state {
		return nil
	}
	o.state = state
	return o.records.Put(recordOSBoot, []byte{state})
}

// boots reports whether after an event the next thing to come is a boot.
func boots(e power.Event) bool {
	switch e.Kind {
	case power.EventReset, power.EventExited:
		return true
	case power.EventStarted:
		return e.State == power.Prelaunch
	}
	return false
}

// osAwaited says that no operating system has come up yet.
func (s *sensors) osAwaited() {
	s.boot.mu.Lock()
	defer s.boot.mu.Unlock()
	s.note(s.boot.keep(bootAwaited))
	s.note(s.Begin(sensorOSBoot))
}

// osFound says what is known of a VM that was there before this process.
func (s *sensors) osFound(state power.State) {
	if acpi, _, ok := vmStates(state); ok && acpi == acpiOff || state == power.Prelaunch {
		s.osAwaited()
		return
	}
	s.boot.mu.Lock()
	defer s.boot.mu.Unlock()
	switch s.boot.state {
	case bootAwaited:
		s.note(s.Begin(sensorOSBoot))
	case bootUnknown:
		s.note(s.SetUnavailable(sensorOSBoot))
	default:
		s.note(s.Begin(sensorOSBoot, s.boot.state))
	}
}

// osUp says that the driver of the guest's operating system is at work. The
// event is logged first and then not awaited any more: killed in between, the
// node tells it twice rather than never.
func (s *sensors) osUp() {
	s.boot.mu.Lock()
	defer s.boot.mu.Unlock()
	if s.boot.state != bootAwaited {
		return
	}
	offset, ok := bootedFrom[s.boot.device()]
	if !ok {
		offset = bootedSomewhere
	}
	s.note(errors.Join(s.Enter(sensorOSBoot, offset, mc.NoData, mc.NoData), s.boot.keep(offset)))
}

// bootRows makes the guest's Set BMC Global Enables tell of its driver.
func (s *sensors) bootRows(rows []ipmb.Command) []ipmb.Command {
	for i := range rows {
		if rows[i].NetFn != ipmb.NetFnApp || rows[i].Cmd != ipmb.CmdSetGlobalEnables {
			continue
		}
		set := rows[i].Do
		rows[i].Do = func(ctx context.Context, req *ipmb.Request) ([]byte, error) {
			out, err := set(ctx, req)
			if err == nil && req.Origin.Speaker == ipmb.SpeakerGuest {
				s.osUp()
			}
			return out, err
		}
	}
	return rows
}
