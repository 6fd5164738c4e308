package node

import (
	"context"
	"fmt"
	"slices"
	"sync"

	"github.com/midplane-project/midplane/ipmb"
	"github.com/midplane-project/midplane/ipmb/mc"
	"github.com/midplane-project/midplane/node/power"
)

// ACPI power states of the system and of a device (IPMI 2.0 §20.6).
const (
	acpiS0        = 0x00
	acpiS1        = 0x01
	acpiS2        = 0x02
	acpiS3        = 0x03
	acpiS4        = 0x04
	acpiS5        = 0x05
	acpiS4S5      = 0x06 // off; whether by S4 or S5 is not known
	acpiG3        = 0x07
	acpiSleeping  = 0x08 // S1, S2 or S3
	acpiG1        = 0x09 // S1 to S4
	acpiOverride  = 0x0A // S5 by override
	acpiLegacyOn  = 0x20
	acpiLegacyOff = 0x21
	acpiUnknown   = 0x2A
	acpiNoChange  = 0x7F

	acpiD0 = 0x00
	acpiD3 = 0x03

	acpiSet       = 0x80 // of a request's byte: take what the others say
	acpiStateMask = 0x7F
)

// What system software may say of a VM that runs, and of one that is off:
// distinctions that cannot be seen from outside.
var (
	acpiWhileOn  = []byte{acpiS0, acpiS1, acpiS2, acpiSleeping, acpiG1, acpiLegacyOn}
	acpiWhileOff = []byte{acpiS4, acpiS5, acpiS4S5, acpiG3, acpiOverride, acpiLegacyOff}
	acpiSayable  = slices.Concat(acpiWhileOn, []byte{acpiS3, acpiUnknown}, acpiWhileOff)
)

// recordACPI is what system software said: the system's state and the device's.
const recordACPI = "acpi"

// acpiSaid is what system software said last, acpiUnknown where nothing.
type acpiSaid struct{ system, device byte }

var acpiSilent = acpiSaid{acpiUnknown, acpiUnknown}

// acpi is the ACPI power state of a VM: what can be seen of it, refined by what
// its software says. What was said of one run of the VM is not true of the next.
type acpi struct {
	vm      payload
	records mc.Records

	mu        sync.Mutex
	suspended bool
	said      acpiSaid
}

func openACPI(vm payload, r mc.Records) (*acpi, error) {
	a := &acpi{vm: vm, records: r, said: acpiSilent}
	v, err := r.Get(recordACPI)
	if err != nil {
		return nil, fmt.Errorf("read the ACPI power state: %w", err)
	}
	if len(v) == 2 {
		a.said = acpiSaid{v[0], v[1]}
	}
	return a, nil
}

func (a *acpi) commands() []ipmb.Command {
	return []ipmb.Command{
		{
			Name: "Set ACPI Power State", NetFn: ipmb.NetFnApp, Cmd: 0x06, Privilege: ipmb.PrivilegeAdmin,
			Data: ipmb.Exactly(2), Effect: true, Ref: "IPMI 2.0 §20.6", Do: a.set,
		},
		{
			Name: "Get ACPI Power State", NetFn: ipmb.NetFnApp, Cmd: 0x07, Privilege: ipmb.PrivilegeUser,
			Ref: "IPMI 2.0 §20.7", Do: a.get,
		},
	}
}

func (a *acpi) set(_ context.Context, req *ipmb.Request) ([]byte, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	said := a.said
	if state := req.Data[0] & acpiStateMask; req.Data[0]&acpiSet != 0 && state != acpiNoChange {
		if !slices.Contains(acpiSayable, state) {
			return nil, ipmb.ErrInvalidField
		}
		said.system = state
	}
	if state := req.Data[1] & acpiStateMask; req.Data[1]&acpiSet != 0 && state != acpiNoChange {
		if state > acpiD3 && state != acpiUnknown {
			return nil, ipmb.ErrInvalidField
		}
		said.device = state
	}
	return nil, a.take(said)
}

// take stores what was said before it holds.
func (a *acpi) take(said acpiSaid) (err error) {
	if said == a.said {
		return nil
	}
	if said == acpiSilent {
		err = a.records.Delete(recordACPI)
	} else {
		err = a.records.Put(recordACPI, []byte{said.system, said.device})
	}
	if err == nil {
		a.said = said
	}
	return err
}

func (a *acpi) get(context.Context, *ipmb.Request) ([]byte, error) {
	on := a.vm.On()
	a.mu.Lock()
	defer a.mu.Unlock()
	said := a.said
	system, device := byte(acpiS4S5), byte(acpiD3)
	switch {
	case on && a.suspended:
		system = acpiS3
	case on:
		system, device = acpiS0, acpiD0
	}
	if on && !a.suspended && slices.Contains(acpiWhileOn, said.system) || !on && slices.Contains(acpiWhileOff, said.system) {
		system = said.system
	}
	if on && said.device <= acpiD3 {
		device = said.device
	}
	return []byte{system, device}, nil
}

// forget drops what was said.
func (a *acpi) forget() error {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.take(acpiSilent)
}

// happened follows the VM. What cannot be removed from the disk is forgotten
// nevertheless: should the next process find it, the VM and its software will
// soon say otherwise.
func (a *acpi) happened(e power.Event) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.suspended = e.State == power.Suspended
	if e.Kind == power.EventReset || e.State == power.Prelaunch {
		_ = a.take(acpiSilent)
		a.said = acpiSilent
	}
}
