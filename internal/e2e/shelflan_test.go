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

	"github.com/midplane-project/midplane/internal/trust"
	"github.com/midplane-project/midplane/node"
	replica "github.com/midplane-project/midplane/shelf"
	"github.com/midplane-project/midplane/shelf/front"
)

const lanPassword = "Sesame0123456789"

// lanShelf is a shelf of three replicas with a LAN door, its front and a board
// without VM, each a process of its own.
type lanShelf struct {
	dir      string
	addr     netip.AddrPort
	replicas map[string]*proc
	front    *proc
}

// proc is a daemon that a test kills and starts again.
type proc struct {
	t    *testing.T
	argv []string
	log  string
	cmd  *exec.Cmd
}

func (p *proc) start() {
	p.t.Helper()
	log, err := os.OpenFile(p.log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		p.t.Fatal(err)
	}
	defer log.Close()
	p.cmd = exec.Command(p.argv[0], p.argv[1:]...)
	p.cmd.Stdout, p.cmd.Stderr = log, log
	if err := p.cmd.Start(); err != nil {
		p.t.Fatal(err)
	}
}

func (p *proc) signal(s syscall.Signal) {
	p.t.Helper()
	if err := p.cmd.Process.Signal(s); err != nil {
		p.t.Fatal(err)
	}
}

// kill is SIGKILL, and the end of it.
func (p *proc) kill() {
	p.signal(syscall.SIGKILL)
	_ = p.cmd.Wait()
}

func (p *proc) end() {
	_ = p.cmd.Process.Signal(syscall.SIGCONT)
	_ = p.cmd.Process.Signal(syscall.SIGTERM)
	_ = p.cmd.Wait()
}

// upLAN starts such a shelf and waits until its administrator may log in.
func upLAN(t *testing.T) *lanShelf {
	t.Helper()
	dir, err := os.MkdirTemp(home, "l")
	if err != nil {
		t.Fatal(err)
	}
	s := &lanShelf{dir: dir, replicas: make(map[string]*proc), addr: freeUDP(t)}
	key := make([]byte, 32)
	_, _ = rand.Read(key)
	s.write(t, "key", key)
	s.write(t, "password", []byte(lanPassword+"\n"))
	pki := filepath.Join(dir, "pki")
	s.certificates(t, pki)
	ports := []string{freeTCP(t), freeTCP(t), freeTCP(t)}
	var fronted front.Config
	fronted.Listen = s.addr.String()
	var attached []node.Replica
	for i, at := range ports {
		name := fmt.Sprintf("shm%d", i+1)
		door := "unix:" + filepath.Join(dir, name+".lan")
		fronted.Replicas = append(fronted.Replicas, door)
		attached = append(attached, node.Replica{Name: name, Address: at})
		s.replicas[name] = s.daemon(t, "shelf", name, replica.Config{
			Name: name, Dir: filepath.Join(dir, name), Listen: at, Expect: 3, Seeds: without(ports, at), Timing: "lab", PKI: pki,
			API: "unix:" + filepath.Join(dir, name+".api"),
			Shelves: []replica.Declared{{Name: "lan", Slots: []replica.DeclaredSlot{{Slot: 1, Name: "blade1"}}, LAN: &replica.LANDoor{
				Listen: door, Address: s.addr.String(), Key: filepath.Join(dir, "key"), Password: filepath.Join(dir, "password"),
			}}},
		})
	}
	s.front = s.daemon(t, "front", "front", fronted)
	s.daemon(t, "node", "blade1", node.Config{
		Shelf: "lan", Slot: 1, Name: "blade1", Profile: node.ProfileATCA, Interface: "kcs", Dir: filepath.Join(dir, "blade1"),
		Listen: []node.Listen{{Address: "unix:" + filepath.Join(dir, "vm")}}, Replicas: attached, PKI: pki,
		API: "unix:" + filepath.Join(dir, "blade1.api"),
	})
	eventually(t, 20*time.Second, "the board answers over the shelf's LAN door", func() error {
		out, err := s.ipmitool(t, "-t", "0x82", "-b", "0", "raw", "6", "1")
		if err != nil {
			return fmt.Errorf("%w: %s", err, out)
		}
		return nil
	})
	return s
}

func (s *lanShelf) write(t *testing.T, name string, data []byte) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(s.dir, name), data, 0o600); err != nil {
		t.Fatal(err)
	}
}

func (s *lanShelf) certificates(t *testing.T, pki string) {
	t.Helper()
	if err := os.Mkdir(pki, 0o700); err != nil {
		t.Fatal(err)
	}
	ca, err := trust.NewAuthority(pki, "e2e-lan")
	if err != nil {
		t.Fatal(err)
	}
	ids := []trust.Identity{{Role: trust.Node, Cluster: ca.Cluster(), Shelf: "lan", Slot: 1}}
	for i := range 3 {
		ids = append(ids, trust.Identity{Role: trust.Replica, Cluster: ca.Cluster(), Name: fmt.Sprintf("shm%d", i+1)})
	}
	for _, id := range ids {
		if _, err := ca.Issue(id, trust.Options{IP: []net.IP{net.IPv4(127, 0, 0, 1)}}); err != nil {
			t.Fatal(err)
		}
	}
}

// daemon starts a daemon, which ends with the test.
func (s *lanShelf) daemon(t *testing.T, verb, name string, config any) *proc {
	t.Helper()
	file := filepath.Join(s.dir, name+".json")
	writeJSON(t, file, config)
	p := &proc{t: t, argv: []string{bin, verb, "--config", file, "--log-level", "info"}, log: filepath.Join(s.dir, name+".log")}
	p.start()
	t.Cleanup(func() {
		p.end()
		if t.Failed() {
			text, _ := os.ReadFile(p.log)
			t.Logf("%s:\n%s", name, lastLines(string(text), 30))
		}
	})
	return p
}

// ipmitool runs the client at the shelf's door, as people do.
func (s *lanShelf) ipmitool(t *testing.T, args ...string) (string, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	login := []string{"-I", "lanplus", "-H", s.addr.Addr().String(), "-p", fmt.Sprint(s.addr.Port()), "-U", "admin", "-P", lanPassword}
	out, err := exec.CommandContext(ctx, "ipmitool", append(login, args...)...).CombinedOutput()
	return string(out), err
}

// leader names who leads.
func (s *lanShelf) leader(t *testing.T) string {
	t.Helper()
	name := ""
	eventually(t, 20*time.Second, "one replica leads", func() error {
		text, err := os.ReadFile(s.front.log)
		lines := strings.Split(string(text), "\n")
		for i := len(lines) - 1; i >= 0; i-- {
			if _, after, ok := strings.Cut(lines[i], "replica="); ok && strings.Contains(lines[i], "msg=leads") {
				path, _, _ := strings.Cut(after, " ")
				name = strings.TrimSuffix(filepath.Base(path), ".lan")
				return nil
			}
		}
		return errors.Join(err, errors.New("the front knows none"))
	})
	return name
}

func without(list []string, one string) (out []string) {
	for _, s := range list {
		if s != one {
			out = append(out, s)
		}
	}
	return out
}

func freeUDP(t *testing.T) netip.AddrPort {
	t.Helper()
	c, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	return c.LocalAddr().(*net.UDPAddr).AddrPort()
}

func freeTCP(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// TestShelfLAN asks a shelf with the clients that people have, without a flag that
// works around anything.
func TestShelfLAN(t *testing.T) {
	s := upLAN(t)
	const device = "20 01 00 10 02"
	for _, c := range []struct{ args, want string }{ // in its output; empty: it fails
		{"mc info", "IPMI Version"},
		{"-C 3 raw 6 1", device},
		{"-C 0 mc info", ""},
		{"-P wrong mc info", ""},
		{"session info all", "user id                       : 2"},
		{"user list 1", "admin"},
		{"channel info 1", "Active Session Count  : 1"},
		{"lan print 1", "IP Address              : " + s.addr.Addr().String()},
		{"lan set 1 ipaddr 127.0.0.9", ""},
		{"sel info", "Entries"},
		{"sdr elist", "FRU State"},
		{"-t 0x82 -b 0 sdr elist", "FRU State"},
		{"-t 0x82 -b 0 fru print 0", "Board Mfg"},
		{"-t 0x20 -b 0 raw 6 1", device},
		{"-T 0x20 -B 0 -t 0x82 -b 0 raw 6 1", "20 81 00 10 02"},
		{"-t 0x82 -b 0 raw 6 1", "20 81 00 10 02"},
		{"-t 0x90 -b 0 raw 6 1", ""},
		{"-t 0x82 -b 7 raw 6 1", ""},
		{"-L USER chassis power cycle", ""},
		{"-L USER -t 0x82 -b 0 raw 0x2c 0x0a 0 0 1 0", ""},
		{"-L USER -t 0x82 -b 0 raw 6 1", "20 81 00 10 02"},
		{"-t 0x82 -b 0 raw 0x2c 0x0a 0 0 1 0", "00"},
	} {
		out, err := s.ipmitool(t, strings.Fields(c.args)...)
		if (c.want == "") != (err != nil) || !strings.Contains(out, c.want) {
			t.Errorf("%s: %v\n%s", c.args, err, out)
		}
	}
	for _, c := range []struct{ command, want string }{
		{"bmc-info", "Device SDRs"},
		{"ipmi-sensors --bridge-sensors --output-sensor-state", "FRU State"},
		{"ipmi-raw --target-channel-number=0 --target-slave-address=0x82 0 6 1", "20 81 00 10 02"},
	} {
		out, err := s.freeipmi(t, strings.Fields(c.command)...)
		if err != nil || !strings.Contains(out, c.want) {
			t.Errorf("%s: %v\n%s", c.command, err, out)
		}
	}
}

// freeipmi runs one of FreeIPMI's programs at the shelf's door.
func (s *lanShelf) freeipmi(t *testing.T, command ...string) (string, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	args := []string{"-h", s.addr.String(), "-u", "admin", "-p", lanPassword, "-D", "LAN_2_0", "-l", "ADMIN"}
	cmd := exec.CommandContext(ctx, command[0], append(args, command[1:]...)...)
	cmd.Env = append(os.Environ(), "HOME="+s.dir)
	out, err := cmd.CombinedOutput()
	return string(out), err
}
