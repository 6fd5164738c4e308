package lab

import (
	"testing"

	"github.com/midplane-project/midplane/deploy/lab/topology"
	"github.com/midplane-project/midplane/node"
)

// What shelf.yaml says of a VM's power is in the file of its node.
func TestPowerReachesTheNode(t *testing.T) {
	s, err := topology.Parse("shelf.yaml", []byte(`name: demo
nodes:
  - {slot: 1, name: a, qemu: none, power: {qmp: "unix:/run/q"}, on_guest_poweroff: deactivate}
  - {slot: 2, name: b, qemu: none}
`))
	if err != nil {
		t.Fatal(err)
	}
	l := &Lab{Topology: s, Name: s.Name, StateDir: t.TempDir()}
	l.Ports = []int{1, 2, 3}
	a, err := l.nodeConfig(s.Nodes[0])
	if err == nil {
		err = a.Check()
	}
	if err != nil || a.Power.QMP != "unix:/run/q" || a.OnGuestPoweroff != "deactivate" {
		t.Errorf("a: %+v, %v", a, err)
	}
	b, err := l.nodeConfig(s.Nodes[1])
	if err != nil || b.Power != nil || b.OnGuestPoweroff != "stay" {
		t.Errorf("b: %+v, %v", b, err)
	}
}

// So are the clock of its watchdog timer and what a full log does, in all that
// do not say otherwise.
func TestDefaultsReachTheNode(t *testing.T) {
	s, err := topology.Parse("shelf.yaml", []byte(`name: demo
defaults: {qemu: none, watchdog_clock: wall, sel: {capacity: 100, overflow: refuse}}
nodes:
  - {slot: 1, name: a}
  - {slot: 2, name: b, watchdog_clock: vm, sel: {overflow: oldest}}
`))
	if err != nil {
		t.Fatal(err)
	}
	l := &Lab{Topology: s, Name: s.Name, StateDir: t.TempDir()}
	l.Ports = []int{1, 2, 3}
	for i, want := range []struct{ clock, overflow string }{{node.ClockWall, node.SELRefuse}, {node.ClockVM, node.SELOldest}} {
		c, err := l.nodeConfig(s.Nodes[i])
		if err != nil || c.WatchdogClock != want.clock || c.SEL != (node.SELConfig{Capacity: 100, Overflow: want.overflow}) {
			t.Errorf("%s: clock %q, log %+v, want %+v: %v", c.Name, c.WatchdogClock, c.SEL, want, err)
		}
	}
}
