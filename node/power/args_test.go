package power

import (
	"encoding/xml"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/midplane-project/midplane/node/power/qmp"
)

var update = flag.Bool("update", false, "rewrite the golden files")

func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(string(want), got); d != "" {
		t.Errorf("%s (-want +got):\n%s", path, d)
	}
}

func blade(i SystemInterface) Spec {
	return Spec{
		Name: "blade1", UUID: "6a0c7f0e-5f6f-4a4e-9a53-000000000001",
		Version: qmp.Version{Major: 7, Minor: 2, Micro: 22}, Kernel: "/boot/vmlinuz", Initrd: "/boot/initrd.gz",
		Append: "console=ttyS0 quiet", SystemInterface: i, SlaveAddr: 0x82,
		VMSocket:  VMSocket{Path: "/run/m/vm.sock", Server: true},
		QMPSocket: "/run/m/qmp.sock", AgentSocket: "/run/m/agent.sock", ConsoleSocket: "/run/m/console.sock",
	}
}

func TestArgsOfEachInterface(t *testing.T) {
	for _, i := range []SystemInterface{KCS, BT, PCIKCS, PCIBT, SSIF} {
		argv, err := Args(blade(i))
		if err != nil {
			t.Fatal(err)
		}
		golden(t, "args-"+string(i)+".txt", Shell(argv))
	}
}

func TestArgsWithEverything(t *testing.T) {
	s := blade(BT)
	s.Accel, s.Machine, s.MemoryMiB, s.SMP = KVM, "q35", 1024, 4
	s.Disk = Disk{Base: "/images/debian.raw", Format: "raw", Overlay: "/state/a,b/blade1.qcow2"}
	s.NICs = []NIC{{Backend: "user,hostfwd=tcp:127.0.0.1:2201-:22"}, {Backend: "tap,ifname=t0", Model: "e1000e", MAC: "52:54:00:00:00:01"}}
	s.Extra = []string{"-device", "virtio-rng-pci"}
	s.SerialSocket = "/run/m/serial.sock"
	argv, err := Args(s)
	if err != nil {
		t.Fatal(err)
	}
	golden(t, "args-full.txt", Shell(argv))
}

func TestArgsToJoinByVersion(t *testing.T) {
	for _, v := range []qmp.Version{{Major: 7, Minor: 2}, {Major: 9, Minor: 2}, {Major: 10, Minor: 2}} {
		s := blade(KCS)
		s.Version, s.VMSocket = v, VMSocket{Path: "/run/m/vm.sock"}
		argv, err := JoinArgs(s)
		if err != nil {
			t.Fatal(err)
		}
		golden(t, "join-"+v.String()+".txt", Shell(argv))
	}
}

func TestLibvirt(t *testing.T) {
	s := blade(KCS)
	s.VMSocket = VMSocket{Path: "/run/m&m/--/vm.sock"}
	got, err := Libvirt(s)
	if err != nil {
		t.Fatal(err)
	}
	golden(t, "libvirt.xml", got)
	if err := xml.Unmarshal([]byte(got), new(struct{})); err != nil {
		t.Errorf("not well formed: %v", err)
	}
}

func TestArgsErrors(t *testing.T) {
	for want, change := range map[string]func(*Spec){
		`system interface "smic"`:           func(s *Spec) { s.SystemInterface = "smic" },
		"ssif needs machine q35":            func(s *Spec) { s.SystemInterface, s.Machine = SSIF, "pc" },
		"has no socket for the VM protocol": func(s *Spec) { s.VMSocket = VMSocket{} },
	} {
		s := blade(KCS)
		change(&s)
		if _, err := Args(s); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("Args: %v, want %q", err, want)
		}
		if _, err := Libvirt(s); err == nil {
			t.Errorf("Libvirt: no error, want %q", want)
		}
		if _, err := JoinArgs(s); err == nil {
			t.Errorf("JoinArgs: no error, want %q", want)
		}
	}
}

func TestShellQuotes(t *testing.T) {
	got := Shell([]string{"q", "-append", "a b", "", "it's", "-x", "$HOME"})
	if want := "q \\\n  -append 'a b' '' 'it'\\''s' \\\n  -x '$HOME'\n"; got != want {
		t.Errorf("got %s want %s", got, want)
	}
}

func TestCheckSocketPath(t *testing.T) {
	if err := CheckSocketPath("/" + strings.Repeat("x", 106)); err != nil {
		t.Error(err)
	}
	if err := CheckSocketPath("/" + strings.Repeat("x", 107)); err == nil || !strings.Contains(err.Error(), "108 bytes") {
		t.Errorf("err = %v", err)
	}
}
