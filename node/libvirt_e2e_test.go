//go:build e2e

package node_test

import (
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/digitalocean/go-libvirt"
	"github.com/digitalocean/go-libvirt/socket/dialers"
	"github.com/google/uuid"

	"github.com/midplane-project/midplane/node"
	"github.com/midplane-project/midplane/node/power"
	"github.com/midplane-project/midplane/node/power/agent"
	"github.com/midplane-project/midplane/node/power/powertest"
	v1 "github.com/midplane-project/midplane/proto/midplane/v1"
)

// libvirtSite is a libvirt of a user's own, never that of the machine, with one
// domain and its node. Started by root it runs as nobody, so that QEMU reaches
// the node only by the mode and group of the node's socket.
type libvirtSite struct {
	*site
	user *user.User
	uri  string
	conn *libvirt.Libvirt
	dom  libvirt.Domain
}

func newLibvirtSite(t *testing.T) *libvirtSite {
	t.Helper()
	dir, err := os.MkdirTemp("", "mpl") // short, for the sockets
	if err != nil {
		t.Fatal(err)
	}
	s := &libvirtSite{site: &site{t: t, dir: dir, bin: os.Getenv("MIDPLANE_BIN")}}
	t.Cleanup(func() { os.RemoveAll(dir) })
	if s.user, err = user.Current(); err == nil && s.user.Uid == "0" {
		s.user, err = user.Lookup("nobody")
	}
	if err != nil {
		t.Fatal(err)
	}
	if s.bin == "" {
		s.build()
	}
	s.give(dir)
	s.startLibvirtd()
	s.define()
	s.cfg = node.Config{
		Name: "blade1", Profile: node.ProfileServer, Interface: "kcs", Dir: s.path("node"), API: "unix:" + s.path("api"),
		Listen: []node.Listen{{Address: "unix:" + s.path("vm"), Mode: 0o660, Group: s.group()}},
		Power:  &power.External{Libvirt: &power.LibvirtConfig{URI: s.uri, Domain: "blade1"}},
	}
	s.write("node.json", s.cfg)
	s.startNode()
	t.Cleanup(func() {
		_ = s.node.end(syscall.SIGTERM)
		if t.Failed() {
			for _, name := range []string{"node.log", "libvirtd.log", "home/console.log"} {
				text, _ := os.ReadFile(s.path(name))
				t.Logf("%s:\n%s", name, text[max(0, len(text)-4000):])
			}
		}
	})
	return s
}

// give hands a file to the user of libvirt.
func (s *libvirtSite) give(path string) {
	s.t.Helper()
	uid, _ := strconv.Atoi(s.user.Uid)
	gid, _ := strconv.Atoi(s.user.Gid)
	if err := os.Chown(path, uid, gid); err != nil {
		s.t.Fatal(err)
	}
}

func (s *libvirtSite) group() string {
	s.t.Helper()
	g, err := user.LookupGroupId(s.user.Gid)
	if err != nil {
		s.t.Fatal(err)
	}
	return g.Name
}

func (s *libvirtSite) startLibvirtd() {
	s.t.Helper()
	for _, name := range []string{"home", "run"} {
		if err := os.Mkdir(s.path(name), 0o700); err != nil {
			s.t.Fatal(err)
		}
		s.give(s.path(name))
	}
	if err := os.WriteFile(s.path("libvirtd.conf"), nil, 0o644); err != nil {
		s.t.Fatal(err)
	}
	log, err := os.Create(s.path("libvirtd.log"))
	if err != nil {
		s.t.Fatal(err)
	}
	defer log.Close()
	cmd := exec.Command("/usr/sbin/libvirtd", "--config", s.path("libvirtd.conf"))
	cmd.Stdout, cmd.Stderr = log, log
	cmd.Env = []string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin", "HOME=" + s.path("home"), "XDG_RUNTIME_DIR=" + s.path("run")}
	for _, kind := range []string{"CONFIG", "CACHE", "DATA"} {
		cmd.Env = append(cmd.Env, "XDG_"+kind+"_HOME="+s.path("home"))
	}
	if os.Geteuid() == 0 {
		uid, _ := strconv.ParseUint(s.user.Uid, 10, 32)
		gid, _ := strconv.ParseUint(s.user.Gid, 10, 32)
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}}
	}
	if err := cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		_ = cmd.Wait()
	})
	socket := s.path("run/libvirt/libvirt-sock")
	s.uri = "qemu:///session?socket=" + socket
	s.eventually("libvirt answers", patience, func() error {
		conn, err := net.Dial("unix", socket)
		if err != nil {
			return err
		}
		s.conn = libvirt.NewWithDialer(dialers.NewAlreadyConnected(conn))
		return s.conn.ConnectToURI(libvirt.QEMUSession)
	})
}

const domainXML = `<domain type="qemu">
  <name>blade1</name><uuid>%s</uuid><memory unit="MiB">256</memory><vcpu>1</vcpu>
  <os><type arch="x86_64" machine="pc">hvm</type>
    <kernel>%s</kernel><initrd>%s</initrd><cmdline>%s</cmdline></os>
  <features><acpi/></features>
  <devices>
    <emulator>/usr/bin/qemu-system-x86_64</emulator>
    <serial type="file"><source path="%s"/></serial>
    <controller type="usb" model="none"/><memballoon model="none"/>
  </devices>
%s</domain>`

// agentArgs are the agent's port, which libvirt would take for itself if it knew of it.
func (s *libvirtSite) agentArgs() (text string) {
	for _, arg := range []string{
		"-chardev", "socket,id=agent0,server=on,wait=off,path=" + s.path("run/agent"), "-device", "virtio-serial-pci,id=serial9",
		"-device", "virtserialport,bus=serial9.0,chardev=agent0,name=org.qemu.guest_agent.0",
	} {
		text += fmt.Sprintf("  <qemu:arg value=%q/>\n", arg)
	}
	return text
}

// define gives libvirt a domain with the lab's guest, and with what midplane
// qemu-args -o libvirt prints.
func (s *libvirtSite) define() {
	s.t.Helper()
	spec := s.spec("kcs", "")
	for name, from := range map[string]string{"vmlinuz": spec.Kernel, "initrd": spec.Initrd} { // from a home that is closed
		data, err := os.ReadFile(from)
		if err == nil {
			err = os.WriteFile(s.path(name), data, 0o644)
		}
		if err != nil {
			s.t.Fatal(err)
		}
	}
	device, err := power.Libvirt(power.Spec{SystemInterface: power.KCS, VMSocket: power.VMSocket{Path: s.path("vm")}})
	if err != nil {
		s.t.Fatal(err)
	}
	xml := fmt.Sprintf(domainXML, uuid.NewString(), s.path("vmlinuz"), s.path("initrd"), spec.Append, s.path("home/console.log"), strings.Replace(device, "</qemu:commandline>", s.agentArgs()+"</qemu:commandline>", 1))
	if s.dom, err = s.conn.DomainDefineXMLFlags(xml, 0); err != nil {
		s.t.Fatalf("%v\n%s", err, xml)
	}
	s.t.Cleanup(func() { _ = s.conn.DomainDestroyFlags(s.dom, 0) })
}

// booted waits for the guest, whose agent's socket is a new one at each start.
func (s *libvirtSite) booted(t *testing.T) {
	t.Helper()
	if s.agent != nil {
		_ = s.agent.Close()
	}
	s.agent = agent.New(s.path("run/agent"), 0)
	s.site.t = t
	s.awaitGuest()
}

// power asks the node.
func (s *libvirtSite) power(a v1.PowerAction) error {
	cc := s.dial("api")
	defer cc.Close()
	_, err := v1.NewNodeClient(cc).Power(s.t.Context(), &v1.PowerRequest{Action: a})
	return err
}

// pid is QEMU's.
func (s *libvirtSite) pid() (int, error) {
	text, err := os.ReadFile(filepath.Join(s.path("run"), "libvirt/qemu/run/blade1.pid"))
	if err != nil {
		return 0, err
	}
	return strconv.Atoi(strings.TrimSpace(string(text)))
}

// later runs a command that the guest does not outlive.
func (s *libvirtSite) later(line string) func(*testing.T) {
	return func(t *testing.T) {
		s.site.t = t
		s.must("(sleep 1; " + line + ") </dev/null >/dev/null 2>&1 &")
	}
}

// A guest in a real libvirt has the node as its BMC, and is powered by it.
func TestE2ELibvirt(t *testing.T) {
	s := newLibvirtSite(t)
	state := func(want string) {
		t.Helper()
		s.status("the VM is "+want, func(st *v1.NodeStatusResponse) bool { return st.VmState == want })
	}
	state("off")
	time.Sleep(2 * time.Second) // for a node that would start it
	state("off")
	for range 2 {
		if err := s.power(v1.PowerAction_POWER_ACTION_ON); err != nil {
			t.Fatal(err)
		}
		state("running")
	}
	s.booted(t)
	if out := s.must("ipmitool mc info && ipmitool chassis power status"); !strings.Contains(out, "Chassis Power is on") {
		t.Errorf("ipmitool says\n%s", out)
	}
	d := power.NewDomain(*s.cfg.Power.Libvirt, nil)
	defer d.Close()
	s.eventually("libvirt tells what the VM has used", patience, func() error {
		used, cpus, err := d.CPUTime(t.Context())
		if err == nil && (used == 0 || cpus == 0) {
			err = fmt.Errorf("%v of %d processors", used, cpus)
		}
		return err
	})
	if err := s.power(v1.PowerAction_POWER_ACTION_SOFT_OFF); err != nil {
		t.Fatal(err)
	}
	state("off")

	t.Run("driver", func(t *testing.T) {
		powertest.Bench{
			Driver: d, Boot: s.booted, Poweroff: s.later("poweroff"), Reboot: s.later("reboot"),
			Interrupted: func(t *testing.T) {
				s.site.t = t
				s.eventually("the NMI is seen", patience, func() error {
					if out := s.must("dmesg"); !strings.Contains(out, "NMI") {
						return errors.New(out)
					}
					return nil
				})
			},
			Pause: func(t *testing.T) {
				if err := s.conn.DomainSuspend(s.dom); err != nil {
					t.Fatal(err)
				}
			},
			Crash: func(t *testing.T) {
				pid, err := s.pid()
				if err == nil {
					err = syscall.Kill(pid, syscall.SIGKILL)
				}
				if err != nil {
					t.Fatal(err)
				}
			},
		}.Try(t)
	})
	s.site.t = t
	state("running")
	if err := s.power(v1.PowerAction_POWER_ACTION_OFF); err != nil {
		t.Fatal(err)
	}
	state("off")
	if s.agent != nil {
		_ = s.agent.Close()
	}
}
