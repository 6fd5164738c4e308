package lab

import (
	"testing"

	"github.com/midplane-project/midplane/deploy/lab/topology"
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
