package topology_test

import (
	"strings"
	"testing"

	"github.com/midplane-project/midplane/deploy/lab/topology"
)

// A fan tray takes nothing of the defaults that is of boards.
func TestFanTray(t *testing.T) {
	s, err := topology.Parse("shelf.yaml", []byte(`name: demo
defaults: {interface: bt, template: t.yaml, qemu: {memory: 512}, sel: {capacity: 100}, serial: [{mode: basic, listen: guest}]}
nodes:
  - {slot: 1, name: blade1}
  - {slot: 9, name: fans1, profile: fan-tray}
  - {slot: 10, name: fans2, profile: fan-tray, qemu: none, template: fans.yaml}
`))
	if err != nil {
		t.Fatal(err)
	}
	for i, template := range []string{"", "fans.yaml"} {
		n := s.Nodes[i+1]
		if !n.FanTray() || !n.QEMU.None || n.Interface != "" || n.Template != template || len(n.Serial) > 0 || n.SEL.Capacity != 100 {
			t.Errorf("%+v", n)
		}
	}
	if n := s.Nodes[0]; n.FanTray() || n.QEMU.None || n.Interface != "bt" || n.Template != "t.yaml" {
		t.Errorf("%+v", n)
	}
}

func TestFanTrayHasNoVM(t *testing.T) {
	for _, field := range []string{
		"interface: kcs", "qemu: {memory: 64}", "vm_socket: {path: /run/x}", "power: {qmp: unix:/run/x}",
		"serial: [{mode: basic, listen: 'unix:/run/x'}]",
	} {
		_, err := topology.Parse("shelf.yaml", []byte("name: demo\nnodes:\n  - {slot: 9, name: fans1, profile: fan-tray, "+field+"}\n"))
		if err == nil || !strings.Contains(err.Error(), "a fan tray has no VM") {
			t.Errorf("%s: %v", field, err)
		}
	}
}
