//go:build e2e

package e2e_test

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/midplane-project/midplane/deploy/guest"
	"github.com/midplane-project/midplane/internal/trust"
	"github.com/midplane-project/midplane/node"
	"github.com/midplane-project/midplane/node/power"
	"github.com/midplane-project/midplane/node/power/agent"
	replica "github.com/midplane-project/midplane/shelf"
	"github.com/midplane-project/midplane/shelf/front"
)

// lanDoor is a door, and its administrator's password.
type lanDoor struct {
	addr     netip.AddrPort
	password string
}

// clientShelf is a shelf of three replicas with its front and two boards with
// guests, each a process of its own. All three controllers have a door.
type clientShelf struct {
	*lanShelf
	shelf  *lanDoor
	boards []*lanDoor
	agents []*agent.Client
}

// upClients starts the shelf and waits for its guests.
func upClients(t *testing.T) *clientShelf {
	t.Helper()
	dir, err := os.MkdirTemp(home, "c")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	s := &clientShelf{lanShelf: &lanShelf{dir: dir, replicas: make(map[string]*proc)}}
	hosts := freeLAN(t, 3)
	s.addr = hosts[0]
	key := make([]byte, 32)
	_, _ = rand.Read(key)
	s.write(t, "key", key)
	s.write(t, "password", []byte(lanPassword+"\n"))
	s.issue(t)
	attached := s.manage(t)
	for i, addr := range hosts[1:] {
		s.board(t, i+1, addr, attached)
	}
	s.shelf = s.door(t, "shelf", hosts[0], s.path("password"))
	for i, addr := range hosts[1:] {
		name := fmt.Sprintf("blade%d", i+1)
		s.boards = append(s.boards, s.door(t, name, addr, filepath.Join(s.path(name), node.LANPasswordFile)))
		a := agent.New(s.path(name+".agent"), 0)
		t.Cleanup(func() { _ = a.Close() })
		s.agents = append(s.agents, a)
	}
	for i := range s.boards {
		s.booted(t, i, "")
		s.eventually(t, s.shelf, "-b", "0", "-t", fmt.Sprintf("%#x", 0x82+2*i), "mc", "info")
	}
	return s
}

func (s *clientShelf) path(name string) string { return filepath.Join(s.dir, name) }

// freeLAN finds loopback addresses with IPMI's own port, for which ipmiconsole
// knows no other.
func freeLAN(t *testing.T, n int) (all []netip.AddrPort) {
	t.Helper()
	for try := 1; len(all) < n; try++ {
		if try > 250 {
			t.Fatal("no addresses with port 623 can be had; it needs root or net.ipv4.ip_unprivileged_port_start")
		}
		a := netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 79, byte(os.Getpid()), byte(try)}), 623)
		if conn, err := net.ListenPacket("udp", a.String()); err == nil {
			_ = conn.Close()
			all = append(all, a)
		}
	}
	return all
}

func (s *clientShelf) issue(t *testing.T) {
	t.Helper()
	if err := os.Mkdir(s.path("pki"), 0o700); err != nil {
		t.Fatal(err)
	}
	ca, err := trust.NewAuthority(s.path("pki"), "e2e-clients")
	if err != nil {
		t.Fatal(err)
	}
	for i := 1; i <= 3; i++ {
		for _, id := range []trust.Identity{
			{Role: trust.Replica, Cluster: ca.Cluster(), Name: fmt.Sprintf("shm%d", i)},
			{Role: trust.Node, Cluster: ca.Cluster(), Shelf: "lan", Slot: i},
		} {
			if _, err := ca.Issue(id, trust.Options{IP: []net.IP{net.IPv4(127, 0, 0, 1)}}); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// manage starts the replicas and their front.
func (s *clientShelf) manage(t *testing.T) (attached []node.Replica) {
	t.Helper()
	ports := []string{freeTCP(t), freeTCP(t), freeTCP(t)}
	fronted := front.Config{Listen: s.addr.String()}
	for i, at := range ports {
		name := fmt.Sprintf("shm%d", i+1)
		door := "unix:" + s.path(name+".lan")
		fronted.Replicas = append(fronted.Replicas, door)
		attached = append(attached, node.Replica{Name: name, Address: at})
		s.replicas[name] = s.daemon(t, "shelf", name, replica.Config{
			Name: name, Dir: s.path(name), Listen: at, Expect: 3, Seeds: without(ports, at), Timing: "lab", PKI: s.path("pki"),
			API: "unix:" + s.path(name+".api"),
			Shelves: []replica.Declared{{Name: "lan", LAN: &replica.LANDoor{
				Listen: door, Key: s.path("key"), Password: s.path("password"),
			}}},
		})
	}
	s.front = s.daemon(t, "front", "front", fronted)
	return attached
}

// board starts a board with a guest, in a VM that ends with the test.
func (s *clientShelf) board(t *testing.T, slot int, addr netip.AddrPort, attached []node.Replica) {
	t.Helper()
	name := fmt.Sprintf("blade%d", slot)
	c := node.Config{
		Shelf: "lan", Slot: slot, Name: name, Profile: node.ProfileATCA, Interface: []string{"kcs", "bt"}[slot%2], Dir: s.path(name),
		Replicas: attached, PKI: s.path("pki"), API: "unix:" + s.path(name+".api"), VM: s.vm(t, name, slot),
	}
	c.LAN.Listen = addr.String()
	t.Cleanup(func() { endVM(c) })
	s.daemon(t, "node", name, c)
}

// endVM ends a VM that outlived its node.
func endVM(c node.Config) {
	m, err := power.NewMachine(power.MachineConfig{Spec: *c.VM, Dir: filepath.Join(c.Dir, "vm")})
	if err != nil {
		return
	}
	_ = m.Kill(context.Background())
	_ = m.Close()
}

// vm is a VM with the lab's guest.
func (s *clientShelf) vm(t *testing.T, name string, slot int) *power.Spec {
	t.Helper()
	cache := os.Getenv("MIDPLANE_GUEST_CACHE")
	if cache == "" {
		user, err := os.UserCacheDir()
		if err != nil {
			t.Fatal(err)
		}
		cache = filepath.Join(user, "midplane", "guest")
	}
	img, err := guest.Build(t.Context(), guest.Options{CacheDir: cache})
	if err != nil {
		t.Fatal(err)
	}
	return &power.Spec{
		Name: name, UUID: uuid.NewString(), Kernel: img.Kernel, Initrd: img.Initrd, Append: "console=ttyS0 quiet midplane.name=" + name,
		SystemInterface: power.SystemInterface([]string{"kcs", "bt"}[slot%2]), SlaveAddr: uint8(0x80 + 2*slot),
		VMSocket:  power.VMSocket{Path: s.path(name + ".vm"), Server: true},
		QMPSocket: s.path(name + ".qmp"), AgentSocket: s.path(name + ".agent"), ConsoleSocket: s.path(name + ".con"),
	}
}

// door knows a door when its password is there.
func (s *clientShelf) door(t *testing.T, name string, addr netip.AddrPort, passwordFile string) *lanDoor {
	t.Helper()
	d := &lanDoor{addr: addr}
	eventually(t, 20*time.Second, "the door of "+name+" has a password", func() error {
		text, err := os.ReadFile(passwordFile)
		if d.password = strings.TrimSpace(string(text)); err == nil && len(d.password) != 16 {
			err = errors.New("not yet")
		}
		return err
	})
	return d
}

// booted waits until a guest is up again, after another boot than before.
func (s *clientShelf) booted(t *testing.T, board int, before string) (now string) {
	t.Helper()
	eventually(t, 2*time.Minute, fmt.Sprintf("the guest of blade%d is up", board+1), func() error {
		ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
		defer cancel()
		r, err := s.agents[board].Exec(ctx, agent.Command{Path: "/bin/sh", Args: []string{"-c", "test -e /run/ready && cat /proc/sys/kernel/random/boot_id"}})
		if err == nil && (r.ExitCode != 0 || string(r.Stdout) == before) {
			err = errors.New("not yet")
		}
		now = string(r.Stdout)
		return err
	})
	return now
}

func (s *clientShelf) eventually(t *testing.T, d *lanDoor, args ...string) {
	t.Helper()
	eventually(t, 30*time.Second, strings.Join(args, " "), func() error {
		out, err := d.ipmitool(t.Context(), args...).CombinedOutput()
		if err != nil {
			err = fmt.Errorf("%w: %s", err, out)
		}
		return err
	})
}

// command is a client's with an end: one that hangs is a failure, not a wait.
func (d *lanDoor) command(ctx context.Context, name string, args ...string) *exec.Cmd {
	c := exec.CommandContext(ctx, name, args...)
	c.Env = append(os.Environ(), "IPMITOOL_PASSWORD="+d.password)
	c.Cancel = func() error { return c.Process.Signal(syscall.SIGTERM) }
	c.WaitDelay = 5 * time.Second
	return c
}

func (d *lanDoor) ipmitool(ctx context.Context, args ...string) *exec.Cmd {
	base := []string{"-I", "lanplus", "-H", d.addr.Addr().String(), "-p", fmt.Sprint(d.addr.Port()), "-U", "admin", "-E"}
	return d.command(ctx, "ipmitool", append(base, args...)...)
}
