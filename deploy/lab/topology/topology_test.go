package topology

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"
	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

const small = `name: demo
nodes:
  - {slot: 1, name: web}
  - slot: 2
    name: db
    interface: bt
    qemu: none
    vm_socket: {path: db.sock, mode: "0660", group: libvirt}
`

func TestParseFillsDefaults(t *testing.T) {
	s, err := Parse("shelf.yaml", []byte(small))
	if err != nil {
		t.Fatal(err)
	}
	if s.Replicas != 3 || s.Timing != "lab" || s.Nodes[0].Interface != "kcs" || s.Nodes[0].QEMU.Memory != 256 {
		t.Errorf("defaults missing: %+v", s)
	}
	if db, ok := s.Node("db"); !ok || !db.QEMU.None || db.VMSocket.Group != "libvirt" || db.Addr() != 0x84 {
		t.Errorf("db: %+v", db)
	}
}

func TestBuiltInIsValid(t *testing.T) {
	if m := BuiltIn().check(); len(m) > 0 {
		t.Error(m)
	}
}

func TestExampleIsValid(t *testing.T) {
	text := Example("demo")
	if s, err := Parse("example", text); err != nil || s.Name != "demo" {
		t.Errorf("%+v, %v", s, err)
	}
	if want := []byte("MIDPLANE_SLOT, _NAME, _UUID"); !bytes.Contains(text, want) {
		t.Errorf("the shelf's name is where %q should be", want)
	}
}

func TestMistakesHaveTheirPlace(t *testing.T) {
	for _, tt := range []struct{ name, text, want string }{
		{"unknown field", "name: demo\nslotz: 3\n", "shelf.yaml:2:1: unknown field"},
		{"unknown nested field", strings.Replace(small, "interface: bt", "interfaze: bt", 1), "shelf.yaml:6:5: unknown field"},
		{"unknown qemu field", "name: d\nnodes:\n- slot: 1\n  name: a\n  qemu: {memry: 3}\n", "unknown field"},
		{"syntax", "name: [demo\n", "shelf.yaml:"},
		{"empty", "", "the file is empty"},
		{"no nodes", "name: demo\n", "at least one node"},
		{"bad name", strings.Replace(small, "name: demo", "name: De/mo", 1), "shelf.yaml:1:7: name:"},
		{"slot twice", strings.Replace(small, "slot: 2", "slot: 1", 1), "shelf.yaml:4:11: nodes[1].slot: slot 1 is taken by web"},
		{"slot range", strings.Replace(small, "slot: 2", "slot: 99", 1), "not within"},
		{"interface", strings.Replace(small, "interface: bt", "interface: smic", 1), "shelf.yaml:6:16: nodes[1].interface:"},
		{"watchdog clock", strings.Replace(small, "interface: bt", "watchdog_clock: sun", 1), "shelf.yaml:6:21: nodes[1].watchdog_clock:"},
		{"sel overflow", strings.Replace(small, "interface: bt", "sel: {overflow: newest}", 1), "shelf.yaml:6:21: nodes[1].sel.overflow:"},
		{"sel capacity", strings.Replace(small, "interface: bt", "sel: {capacity: 63}", 1), "shelf.yaml:6:21: nodes[1].sel.capacity: 63 is not within"},
		{"reserved name", strings.Replace(small, "name: db", "name: leader", 1), "means something else"},
		{"name of a replica", strings.Replace(small, "name: db", "name: shm2", 1), "means something else"},
		{"mode", strings.Replace(small, `"0660"`, `"9"`, 1), "no file mode"},
		{"disk format", "name: d\nnodes:\n- slot: 1\n  name: a\n  qemu: {disk: {base: x, format: vmdk}}\n", "nodes[0].qemu.disk.format:"},
		{"nic", "name: d\nnodes:\n- slot: 1\n  name: a\n  qemu: {nics: [{model: e1000}]}\n", "what -netdev takes"},
		{"power of the node's own VM", strings.Replace(small, "name: web", "name: web, power: {qmp: 'unix:/q'}", 1), "nodes[0].power: is for a VM"},
		{"console of the node's own VM", strings.Replace(small, "name: web", "name: web, console: {socket: /c}", 1), "nodes[0].console: is for a VM"},
		{"console without a socket", small + "    console: {chardev: a}\n", "nodes[1].console: socket"},
		{"two powers", small + "    power: {qmp: 'unix:/q', libvirt: {uri: 'qemu:///system', domain: a}}\n", "shelf.yaml:9:12: nodes[1].power: want one of"},
		{"unknown power", small + "    power: {ssh: a}\n", "shelf.yaml:9:13: unknown field"},
		{"hook", small + "    power: {hook: {on: [a], off: [b]}}\n", "hook.status: is missing"},
		{"hook in a shell", small + "    power: {hook: {on: a, off: [b], status: [c]}}\n", "shelf.yaml:9:"},
		{"libvirt", small + "    power: {libvirt: {uri: 'lxc:///', domain: a}}\n", "libvirt.uri"},
		{"on_guest_poweroff", small + "    on_guest_poweroff: explode\n", "not one of [stay deactivate]"},
		{"deactivated server", small + "    on_guest_poweroff: deactivate\n    profile: server\n", "nodes[1].on_guest_poweroff: a node with profile server has no FRU state"},
		{"alerts", "name: d\nnodes:\n- slot: 1\n  name: a\n  alerts: [localhost:162]\n", "shelf.yaml:5:12: nodes[0].alerts[0]: \"localhost:162\" is no IP:PORT"},
		{"alerts twice", "name: d\nnodes:\n- slot: 1\n  name: a\n  alerts: [\"127.0.0.1:162\", \"127.0.0.1:163\"]\n", "127.0.0.1 stands twice"},
		{"serial style", small + "    serial: [{mode: basic, listen: 'unix:/s', style: both}]\n", "nodes[1].serial[0]: style: \"both\" is neither"},
		{"LAN door allowed nowhere", small + "    lan: {allow: ['127.0.0.1:9', '127.0.0.1']}\n", "nodes[1].lan.allow[1]: \"127.0.0.1\": want IP:PORT"},
		{"LAN style", small + "    lan: {style: both}\n", "nodes[1].lan: style: \"both\" is neither"},
		{"serial mode", small + "    serial: [{mode: smoke, listen: 'unix:/s'}]\n", "shelf.yaml:9:14: nodes[1].serial[0]: mode: \"smoke\" is none of"},
		{"serial port of a VM of one's own", small + "    serial: [{mode: basic, listen: guest}]\n", "nodes[1].serial[0]: listen: guest is the port of a VM that the node starts"},
		{"serial listen", small + "    serial: [{mode: basic, listen: 'tcp:10.0.0.1:4'}]\n", "want a loopback IP:PORT"},
		{"serial listen missing", small + "    serial: [{mode: basic}]\n", "want unix:PATH or tcp:HOST:PORT, pty:PATH or guest"},
		{"serial privilege", small + "    serial: [{mode: basic, listen: 'unix:/s', privilege: king}]\n", "\"king\" is none of"},
		{"serial without sessions", small + "    serial: [{mode: direct, listen: 'unix:/s'}]\n", "nobody can log in by mode direct"},
		{"serial twice", small + "    serial: [{mode: basic, listen: 'unix:/s'}, {mode: terminal, listen: 'unix:/s'}]\n", "serial[1]: listen: unix:/s stands twice"},
		{"serial of two nodes", "name: d\ndefaults: {serial: [{mode: basic, listen: 'unix:/s'}]}\nnodes:\n- {slot: 1, name: a}\n- {slot: 2, name: b}\n", "nodes[1].serial[0]: listen: unix:/s is a's"},
		{"lan", small + "lan: loud\n", "lan: want on, off or a mapping"},
		{"unknown lan", small + "lan: {address: a}\n", "shelf.yaml:9:7: unknown field"},
		{"lan port", small + "lan: {port: 65536}\n", "shelf.yaml:9:13: lan.port: 65536 is no port"},
		{"lan password", small + "lan: {password: secret}\n", "\"secret\" is not one of [shared own]"},
		{"lan listen", small + "lan: {listen: 127.0.0.1}\n", "lan.listen: \"127.0.0.1\" is no IP:PORT"},
		{"lan listen anywhere", small + "    lan: {listen: '0.0.0.0:623'}\n", "nodes[1].lan.listen: \"0.0.0.0:623\" is every address of this machine"},
		{"lan listen twice", small + "    lan: {listen: '127.0.0.1:9'}\nlan: {listen: '127.0.0.1:9'}\n", "127.0.0.1:9 is the door of the shelf manager"},
		{"lan listen of defaults", "name: d\ndefaults: {lan: {listen: '127.0.0.1:9'}}\nnodes:\n- {slot: 1, name: a}\n- {slot: 2, name: b}\n", "127.0.0.1:9 is the door of a"},
		{"node's lan", small + "    lan: maybe\n", "lan: want on, off or a mapping"},
		{"replicas", small + "replicas: 2\n", "want 1, 3 or 5"},
		{"ports", small + "ports: [1, 2]\n", "2 ports for 3 replicas"},
		{"type", small + "id: many\n", "shelf.yaml:9:5"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := Parse("shelf.yaml", []byte(tt.text))
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want %q", err, tt.want)
			}
		})
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(small))
	f.Add(Example("demo"))
	f.Add([]byte("name: &a [*a]\n"))
	f.Add([]byte("nodes: [{qemu: [1]}]"))
	f.Fuzz(func(t *testing.T, data []byte) {
		s, err := Parse("x", data)
		if (s == nil) == (err == nil) {
			t.Fatal("neither a shelf nor an error")
		}
	})
}

func TestWhatIsWrittenCanBeRead(t *testing.T) {
	for _, text := range []string{
		small, string(Example("demo")), small + "lan: off\n", small + "    lan: off\nlan: {port: 700, password: own}\n",
		small + "    lan: {listen: '127.0.0.1:9'}\nlan: off\n", small + "    lan: on\ndefaults: {lan: off}\n",
	} {
		s, err := Parse("shelf.yaml", []byte(text))
		if err != nil {
			t.Fatal(err)
		}
		s.Defaults = Node{}
		out, err := yaml.Marshal(s)
		if err != nil {
			t.Fatal(err)
		}
		again, err := Parse("written", out)
		if err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		if diff := cmp.Diff(s, again, cmpopts.EquateEmpty()); diff != "" {
			t.Error(diff)
		}
	}
}

func TestSerialOfDefaults(t *testing.T) {
	const text = `name: demo
defaults: {serial: [{mode: terminal, listen: guest}]}
nodes:
  - {slot: 1, name: a}
  - {slot: 2, name: b, serial: [{mode: basic, listen: "unix:b.tty", privilege: user}, {mode: direct, listen: guest}, {mode: terminal, listen: "pty:b.pty"}]}
  - {slot: 3, name: c, serial: []}
`
	path := filepath.Join(t.TempDir(), FileName)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	s, err := Load(path)
	if err != nil {
		t.Fatal(err)
	}
	want := [][]Serial{
		{{Mode: "terminal", Listen: "guest"}},
		{{Mode: "basic", Listen: "unix:" + filepath.Dir(path) + "/b.tty", Privilege: "user"}, {Mode: "direct", Listen: "guest"}, {Mode: "terminal", Listen: "pty:" + filepath.Dir(path) + "/b.pty"}},
		{},
	}
	for i, n := range s.Nodes {
		if diff := cmp.Diff(want[i], n.Serial); diff != "" {
			t.Errorf("%s: %s", n.Name, diff)
		}
	}
}

func TestPowerOfDefaults(t *testing.T) {
	const text = `name: demo
defaults:
  qemu: none
  power: {hook: {on: [./vm.sh, "on"], off: [vm, "off"], status: [/bin/vm, status]}}
nodes:
  - {slot: 1, name: a}
  - {slot: 2, name: b, power: {qmp: "unix:b.qmp"}, console: {socket: b.con, chardev: c}, on_guest_poweroff: deactivate}
  - {slot: 3, name: c, qemu: {memory: 64}}
`
	path := filepath.Join(t.TempDir(), FileName)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	s, err := Load(path)
	if err != nil {
		t.Fatal(err)
	}
	dir, a, b := filepath.Dir(path), s.Nodes[0], s.Nodes[1]
	if h := a.Power.Hook; h.On[0] != dir+"/vm.sh" || h.Off[0] != "vm" || h.Status[0] != "/bin/vm" || a.OnGuestPoweroff != "stay" {
		t.Errorf("a: %+v", h)
	}
	if b.Power.QMP != "unix:"+dir+"/b.qmp" || b.Power.Hook != nil || b.OnGuestPoweroff != "deactivate" {
		t.Errorf("b: %+v", b.Power)
	}
	if b.Console.Socket != dir+"/b.con" || b.Console.Chardev != "c" {
		t.Errorf("b's console: %+v", b.Console)
	}
	if s.Nodes[2].Power != nil {
		t.Errorf("c starts its own VM, and has %+v", s.Nodes[2].Power)
	}
}

// A template is read with the shelf: from its directory, once, and with the
// place of what is wrong there.
func TestTemplates(t *testing.T) {
	const text = `name: demo
defaults: {template: hw/a.yaml}
nodes:
  - {slot: 1, name: a}
  - {slot: 2, name: b, template: hw/b.yaml}
  - {slot: 3, name: c}
`
	dir := t.TempDir()
	path := filepath.Join(dir, FileName)
	write := func(name, text string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Mkdir(filepath.Join(dir, "hw"), 0o700); err != nil {
		t.Fatal(err)
	}
	write(FileName, text)
	write("hw/a.yaml", "sensors: []\n")
	_, err := Load(path)
	if want := path + ":5:34: nodes[1].template: read the template: "; err == nil || !strings.HasPrefix(err.Error(), want) {
		t.Errorf("got %v, want %s", err, want)
	}
	write("hw/b.yaml", "environment: {}\n")
	s, err := Load(path)
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range []string{"hw/a.yaml", "hw/b.yaml", "hw/a.yaml"} {
		if got := s.Nodes[i].Template; got != filepath.Join(dir, want) {
			t.Errorf("node %d has %s", i, got)
		}
	}
	write("hw/a.yaml", "environment:\n  fan: 3\n")
	if s, err := Read(path); err != nil || len(s.Nodes) != 3 {
		t.Errorf("a shelf that is there: %v", err)
	}
	if _, err := Load(path); err == nil || err.Error() != dir+"/hw/a.yaml:2:8: environment.fan: 3 is not within 0 to 1" {
		t.Error(err)
	}
}
