package node

import (
	"errors"
	"testing"

	"github.com/midplane-project/midplane/ipmb/mc"
	"github.com/midplane-project/midplane/node/power"
)

// What can be seen of the VM comes first; its software says the rest.
func TestACPIPowerState(t *testing.T) {
	for _, c := range []struct {
		name  string
		on    bool
		state power.State
		said  string
		want  string
	}{
		{"on", true, power.Running, "", "00 00 00"},
		{"off", false, power.Off, "", "00 06 03"},
		{"suspended", true, power.Suspended, "", "00 03 03"},
		{"in S1", true, power.Running, "81 7f", "00 01 00"},
		{"without ACPI", true, power.Running, "a0 00", "00 20 00"},
		{"off by S4", false, power.Off, "84 00", "00 04 03"},
		{"off by S5", false, power.Off, "85 00", "00 05 03"},
		{"off by override", false, power.Off, "8a 00", "00 0a 03"},
		{"S5 of a VM that runs", true, power.Running, "85 00", "00 00 00"},
		{"S1 of a VM that sleeps", true, power.Suspended, "81 00", "00 03 03"},
		{"S0 of a VM that sleeps", true, power.Suspended, "80 00", "00 03 03"},
		{"S3 of a VM that runs", true, power.Running, "83 00", "00 00 00"},
		{"S1 of a VM that is off", false, power.Off, "81 00", "00 06 03"},
		{"a device that sleeps", true, power.Running, "00 82", "00 00 02"},
		{"in a VM that is off", false, power.Off, "00 81", "00 06 03"},
		{"not known", true, power.Running, "aa aa", "00 00 00"},
		{"no change", true, power.Running, "ff ff", "00 00 00"},
		{"not to be set", true, power.Running, "01 02", "00 00 00"},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := newBoard(t, ProfileServer)
			b.vm.on = c.on
			b.VMHappened(power.Event{State: c.state}, false)
			if c.said != "" && b.guest("06 06 "+c.said) != "00" {
				t.Error("refused")
			}
			if got := b.guest("06 07"); got != c.want {
				t.Errorf("%s, want %s", got, c.want)
			}
		})
	}
}

// What was said is kept by the controller and not by the VM.
func TestACPIStateSaid(t *testing.T) {
	for name, c := range map[string]struct {
		do   func(b *board)
		want string
	}{
		"node killed":      {func(b *board) { b.kill(); b.start() }, "00 01 02"},
		"only one changed": {func(b *board) { b.guest("06 06 82 7f") }, "00 02 02"},
		"refused":          {func(b *board) { b.guest("06 06 82 84") }, "00 01 02"},
		"VM reset":         {func(b *board) { b.VMHappened(power.Event{Kind: power.EventReset, State: power.Running}, false) }, "00 00 00"},
		"VM reset, node killed": {func(b *board) {
			b.VMHappened(power.Event{Kind: power.EventReset, State: power.Running}, false)
			b.kill()
			b.start()
		}, "00 00 00"},
		"VM started": {func(b *board) { b.VMHappened(power.Event{Kind: power.EventStarted, State: power.Prelaunch}, true) }, "00 00 00"},
		"slept and woke": {func(b *board) {
			b.VMHappened(power.Event{Kind: power.EventSuspend, State: power.Suspended}, false)
			b.VMHappened(power.Event{Kind: power.EventWakeup, State: power.Running}, false)
		}, "00 01 02"},
		"cold reset": {func(b *board) { b.guest("06 02") }, "00 00 00"},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBoard(t, ProfileServer)
			b.vm.on = true
			b.guest("06 06 81 82")
			c.do(b)
			if got := b.guest("06 07"); got != c.want {
				t.Errorf("%s, want %s", got, c.want)
			}
		})
	}
}

func TestACPIStateThatCannotBeStored(t *testing.T) {
	b := newBoard(t, ProfileServer)
	b.vm.on = true
	b.acpi.records = fullRecords{b.acpi.records}
	if got := b.guest("06 06 81 7f"); got != "ff" {
		t.Errorf("set: %s", got)
	}
	if got := b.guest("06 07"); got != "00 00 00" {
		t.Errorf("get: %s", got)
	}
}

// fullRecords have no room.
type fullRecords struct{ mc.Records }

func (fullRecords) Put(string, []byte) error { return errors.New("disk full") }
