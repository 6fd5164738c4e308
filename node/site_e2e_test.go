//go:build e2e

package node_test

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/uuid"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/midplane-project/midplane/deploy/guest"
	"github.com/midplane-project/midplane/internal/trust"
	"github.com/midplane-project/midplane/node"
	"github.com/midplane-project/midplane/node/power"
	"github.com/midplane-project/midplane/node/power/agent"
	v1 "github.com/midplane-project/midplane/proto/midplane/v1"
)

// How long things may take on a busy machine. Nothing is measured by them.
const (
	patience  = 2 * time.Minute
	bootLimit = 5 * time.Minute
)

// site is one blade with the lab's guest: real processes, each replaced as a
// test likes. A server has no shelf.
type site struct {
	t     *testing.T
	dir   string
	bin   string
	cfg   node.Config
	node  *daemon
	agent *agent.Client
}

// daemon is a running process.
type daemon struct {
	cmd  *exec.Cmd
	done chan error
}

func newSite(t *testing.T, profile, iface, cmdline string, more ...func(*site)) *site {
	t.Helper()
	dir, err := os.MkdirTemp("", "mps") // short, for the sockets
	if err != nil {
		t.Fatal(err)
	}
	s := &site{t: t, dir: dir, bin: os.Getenv("MIDPLANE_BIN")}
	s.cfg = node.Config{
		Name: "blade1", Profile: profile, Interface: iface, Dir: s.path("node"), API: "unix:" + s.path("api"),
		VM: s.spec(iface, cmdline),
	}
	t.Cleanup(s.remove)
	if s.bin == "" {
		s.build()
	}
	if profile == node.ProfileATCA {
		s.startShelf()
	}
	for _, change := range more {
		change(s)
	}
	s.write("node.json", s.cfg)
	s.startNode()
	s.agent = agent.New(s.path("agent"), 0)
	s.awaitGuest()
	return s
}

// build makes the daemons' program.
func (s *site) build() {
	s.t.Helper()
	s.bin = s.path("midplane")
	if out, err := exec.Command("go", "build", "-o", s.bin, "../cmd/midplane").CombinedOutput(); err != nil {
		s.t.Fatalf("build the program: %v\n%s", err, out)
	}
}

func (s *site) path(name string) string { return filepath.Join(s.dir, name) }

// spec is a VM with the lab's guest, built or from the user's cache.
func (s *site) spec(iface, cmdline string) *power.Spec {
	s.t.Helper()
	cache := os.Getenv("MIDPLANE_GUEST_CACHE")
	if cache == "" {
		user, err := os.UserCacheDir()
		if err != nil {
			s.t.Fatal(err)
		}
		cache = filepath.Join(user, "midplane", "guest")
	}
	img, err := guest.Build(s.t.Context(), guest.Options{CacheDir: cache})
	if err != nil {
		s.t.Fatal(err)
	}
	return &power.Spec{
		Name: "blade1", UUID: uuid.NewString(), Kernel: img.Kernel, Initrd: img.Initrd,
		Append:          strings.TrimSpace("no_timer_check console=ttyS0 quiet midplane.name=blade1 " + cmdline),
		SystemInterface: power.SystemInterface(iface), SlaveAddr: 0x82,
		VMSocket:  power.VMSocket{Path: s.path("vm"), Server: true},
		QMPSocket: s.path("qmp"), AgentSocket: s.path("agent"), ConsoleSocket: s.path("console"),
	}
}

// startShelf starts a shelf manager of one replica.
func (s *site) startShelf() {
	s.t.Helper()
	cluster := uuid.NewString()
	a, err := trust.NewAuthority(s.path("pki"), cluster)
	if err != nil {
		s.t.Fatal(err)
	}
	for _, id := range []trust.Identity{{Role: trust.Replica, Name: "shm1"}, {Role: trust.Node, Shelf: "lab", Slot: 1}} {
		if _, err := a.Issue(id, trust.Options{}); err != nil {
			s.t.Fatal(err)
		}
	}
	// An address where nobody else is given a port, as long as this one is free.
	ln, err := net.Listen("tcp", fmt.Sprintf("127.79.%d.%d:0", os.Getpid()>>8&0xFF, os.Getpid()&0xFF))
	if err != nil {
		s.t.Fatal(err)
	}
	address := ln.Addr().String()
	_ = ln.Close()
	s.write("shm1.json", map[string]any{
		"name": "shm1", "dir": s.path("shm1"), "listen": address, "expect": 1, "timing": "lab", "pki": s.path("pki"),
		"cluster": cluster, "api": "unix:" + s.path("shm1.api"),
		"shelves": []any{map[string]any{"name": "lab", "slots": []any{map[string]any{"slot": 1, "name": "blade1"}}}},
	})
	s.cfg.Shelf, s.cfg.Slot, s.cfg.PKI, s.cfg.Cluster = "lab", 1, s.path("pki"), cluster
	s.cfg.Replicas = []node.Replica{{Name: "shm1", Address: address}}
	shm := s.daemon("shelf", "--config", s.path("shm1.json"))
	s.t.Cleanup(func() { shm.end(syscall.SIGTERM) })
}

func (s *site) write(name string, v any) {
	s.t.Helper()
	text, err := json.Marshal(v)
	if err == nil {
		err = os.WriteFile(s.path(name), text, 0o600)
	}
	if err != nil {
		s.t.Fatal(err)
	}
}

func (s *site) daemon(args ...string) *daemon {
	s.t.Helper()
	log, err := os.OpenFile(s.path(args[0]+".log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		s.t.Fatal(err)
	}
	defer log.Close()
	cmd := exec.Command(s.bin, args...)
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	d := &daemon{cmd, make(chan error, 1)}
	go func() { d.done <- cmd.Wait() }()
	return d
}

// end sends a signal and waits for the end.
func (d *daemon) end(sig syscall.Signal) error {
	_ = d.cmd.Process.Signal(sig)
	return d.wait()
}

// wait waits for the end, and makes one if none comes.
func (d *daemon) wait() error {
	select {
	case err := <-d.done:
		return err
	case <-time.After(patience):
		_ = d.cmd.Process.Kill()
		return errors.Join(errors.New("it did not end by itself"), <-d.done)
	}
}

func (s *site) startNode(args ...string) {
	s.t.Helper()
	if s.cfg.Standalone() {
		args = append(args, "--standalone")
	}
	s.node = s.daemon(append([]string{"node", "--config", s.path("node.json")}, args...)...)
}

// takeOver starts a successor and waits for the end of the old node.
func (s *site) takeOver() {
	s.t.Helper()
	old := s.node
	s.startNode("--take-over")
	if err := old.wait(); err != nil {
		s.t.Errorf("the node that was taken over: %v", err)
	}
}

// killNode kills the node and starts another one.
func (s *site) killNode() {
	s.t.Helper()
	_ = s.node.end(syscall.SIGKILL)
	s.startNode()
}

// status waits until the node's API says what ok wants to hear.
func (s *site) status(what string, ok func(*v1.NodeStatusResponse) bool) *v1.NodeStatusResponse {
	s.t.Helper()
	cc := s.dial("api")
	defer cc.Close()
	var last *v1.NodeStatusResponse
	s.eventually(what, patience, func() (err error) {
		if last, err = v1.NewNodeClient(cc).Status(s.t.Context(), &v1.NodeStatusRequest{}); err == nil && !ok(last) {
			err = fmt.Errorf("status %v", last)
		}
		return err
	})
	return last
}

func (s *site) dial(socket string) *grpc.ClientConn {
	s.t.Helper()
	cc, err := grpc.NewClient("unix:"+s.path(socket), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		s.t.Fatal(err)
	}
	return cc
}

func (s *site) eventually(what string, within time.Duration, ok func() error) {
	s.t.Helper()
	deadline := time.Now().Add(within)
	for {
		err := ok()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			s.t.Fatalf("not within %v: %s: %v", within, what, err)
		}
		time.Sleep(50 * time.Millisecond) // other processes tell nobody
	}
}

func (s *site) awaitGuest() {
	s.t.Helper()
	s.eventually("the guest is up", bootLimit, func() error {
		ctx, cancel := context.WithTimeout(s.t.Context(), 10*time.Second)
		defer cancel()
		r, err := s.agent.Exec(ctx, agent.Command{Path: "/bin/sh", Args: []string{"-c", "test -e /run/ready -a -e /dev/ipmi0"}})
		if err == nil && r.ExitCode != 0 {
			err = errors.New("not ready")
		}
		return err
	})
}

// sh runs a command line in the guest and gives its output.
func (s *site) sh(line string) (string, int) {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(s.t.Context(), 2*time.Minute)
	defer cancel()
	r, err := s.agent.Exec(ctx, agent.Command{Path: "/bin/sh", Args: []string{"-c", line}})
	if err != nil {
		s.t.Fatalf("%s: %v", line, err)
	}
	return string(r.Stdout) + string(r.Stderr), r.ExitCode
}

// must is sh for what has to succeed.
func (s *site) must(line string) string {
	s.t.Helper()
	out, code := s.sh(line)
	if code != 0 {
		s.t.Errorf("%s: exit code %d\n%s", line, code, out)
	}
	return out
}

// logged counts the records of a loop in the shelf's log by serial number.
func (s *site) logged(tag string) map[uint32]int {
	s.t.Helper()
	cc := s.dial("shm1.api")
	defer cc.Close()
	stream, err := v1.NewShelfClient(cc).ListEvents(s.t.Context(), &v1.ListEventsRequest{Shelf: "lab"})
	if err != nil {
		s.t.Fatal(err)
	}
	found := make(map[uint32]int)
	for {
		m, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return found
		}
		if err != nil {
			s.t.Fatal(err)
		}
		for _, e := range m.Events {
			r := e.Record
			if len(r) == 16 && r[2] == 0xE0 && hex.EncodeToString(r[5:9]) == tag {
				found[uint32(r[9])<<24|uint32(r[10])<<16|uint32(r[11])<<8|uint32(r[12])]++
			}
		}
	}
}

// remove ends what runs, and tells what it said if the test failed.
func (s *site) remove() {
	if s.agent != nil {
		_ = s.agent.Close()
	}
	if s.node != nil {
		select {
		case <-s.node.done:
		default:
			_ = s.node.end(syscall.SIGTERM)
		}
	}
	if m, err := power.NewMachine(power.MachineConfig{Spec: *s.cfg.VM, Dir: filepath.Join(s.cfg.Dir, "vm")}); err == nil {
		_ = m.Kill(context.Background())
		_ = m.Close()
	}
	if s.t.Failed() {
		for _, name := range []string{"node.log", "shelf.log", "node/console.log"} {
			text, _ := os.ReadFile(s.path(name))
			s.t.Logf("%s:\n%s", name, text[max(0, len(text)-4000):])
		}
	}
	_ = os.RemoveAll(s.dir)
}
