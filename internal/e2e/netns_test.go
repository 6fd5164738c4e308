//go:build e2e

package e2e_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/midplane-project/midplane/internal/trust"
	"github.com/midplane-project/midplane/node"
	replica "github.com/midplane-project/midplane/shelf"
)

// hosts are three replicas, each in a network namespace of its own, on one
// switch, where the clients of their LAN door are, and a node.
type hosts struct {
	dir     string
	prefix  string // of namespaces
	configs [4]replica.Config
	daemons [4]*daemon
}

// newHosts makes the network, which needs root.
func newHosts(t *testing.T) *hosts {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Fatal("this test makes network namespaces: run it as root")
	}
	h := &hosts{dir: filepath.Join(home, "net"), prefix: fmt.Sprintf("mpe%d", os.Getpid())}
	ip(t, "netns", "add", h.ns(0))
	t.Cleanup(func() { _ = exec.Command("ip", "netns", "del", h.ns(0)).Run() })
	ip(t, "-n", h.ns(0), "link", "add", "switch", "type", "bridge")
	ip(t, "-n", h.ns(0), "address", "add", "10.98.7.254/24", "dev", "switch")
	ip(t, "-n", h.ns(0), "link", "set", "switch", "up")
	for i := 1; i <= 3; i++ {
		ip(t, "netns", "add", h.ns(i))
		t.Cleanup(func() { _ = exec.Command("ip", "netns", "del", h.ns(i)).Run() })
		ip(t, "-n", h.ns(0), "link", "add", port(i), "type", "veth", "peer", "name", "eth0", "netns", h.ns(i))
		ip(t, "-n", h.ns(0), "link", "set", port(i), "master", "switch", "up")
		ip(t, "-n", h.ns(i), "address", "add", fmt.Sprintf("10.98.7.%d/24", i), "dev", "eth0")
		ip(t, "-n", h.ns(i), "link", "set", "eth0", "up")
		ip(t, "-n", h.ns(i), "link", "set", "lo", "up")
	}
	return h
}

// ns is the namespace of host i; 0 is the switch's.
func (h *hosts) ns(i int) string { return fmt.Sprintf("%s-%d", h.prefix, i) }

// port is the switch's port of host i.
func port(i int) string { return fmt.Sprintf("port%d", i) }

func (h *hosts) plug(t *testing.T, i int)   { ip(t, "-n", h.ns(0), "link", "set", port(i), "up") }
func (h *hosts) unplug(t *testing.T, i int) { ip(t, "-n", h.ns(0), "link", "set", port(i), "down") }

func ip(t *testing.T, args ...string) {
	t.Helper()
	if out, err := exec.CommandContext(t.Context(), "ip", args...).CombinedOutput(); err != nil {
		t.Fatalf("ip %s: %v: %s", strings.Join(args, " "), err, out)
	}
}

// start starts the replicas, and ends them with the test.
func (h *hosts) start(t *testing.T) {
	t.Helper()
	pki := filepath.Join(h.dir, "pki")
	if err := os.MkdirAll(pki, 0o700); err != nil {
		t.Fatal(err)
	}
	h.doorFiles(t)
	ca, err := trust.NewAuthority(pki, "partition")
	if err != nil {
		t.Fatal(err)
	}
	for i := 1; i <= 3; i++ {
		if _, err := ca.Issue(trust.Identity{Role: trust.Replica, Name: name(i)}, trust.Options{}); err != nil {
			t.Fatal(err)
		}
		c := replica.Config{
			Name: name(i), Dir: filepath.Join(h.dir, name(i)), Listen: address(i), Expect: 3, Timing: "lan", PKI: pki,
			Cluster: ca.Cluster(), API: "unix:" + h.socket(i), Shelves: []replica.Declared{{Name: "far", LAN: h.door(i)}},
		}
		for j := 1; j <= 3; j++ {
			if j != i {
				c.Seeds = append(c.Seeds, address(j))
			}
		}
		h.configs[i] = c
		h.run(t, i)
	}
	h.node(t, ca)
}

// node runs a controller without VM, beside the clients.
func (h *hosts) node(t *testing.T, ca *trust.Authority) {
	t.Helper()
	if _, err := ca.Issue(trust.Identity{Role: trust.Node, Shelf: "far", Slot: 1}, trust.Options{}); err != nil {
		t.Fatal(err)
	}
	c := node.Config{
		Shelf: "far", Slot: 1, Name: "fans", Profile: node.ProfileFanTray, Dir: filepath.Join(h.dir, "fans"),
		PKI: filepath.Join(h.dir, "pki"), Cluster: ca.Cluster(), API: "unix:" + filepath.Join(h.dir, "fans.sock"),
	}
	for i := 1; i <= 3; i++ {
		c.Replicas = append(c.Replicas, node.Replica{Name: name(i), Address: address(i)})
	}
	file := filepath.Join(h.dir, "fans.json")
	writeJSON(t, file, c)
	startDaemon(t, filepath.Join(h.dir, "fans.log"), "ip", "netns", "exec", h.ns(0), bin, "node", "--config", file, "--log-level", "info")
}

func name(i int) string              { return fmt.Sprintf("shm%d", i) }
func address(i int) string           { return fmt.Sprintf("10.98.7.%d:7001", i) }
func (h *hosts) socket(i int) string { return filepath.Join(h.dir, name(i)+".sock") }

// run runs one replica, perhaps again.
func (h *hosts) run(t *testing.T, i int) {
	t.Helper()
	file, log := filepath.Join(h.dir, name(i)+".json"), filepath.Join(h.dir, name(i)+".log")
	if h.daemons[i] != nil {
		log += ".again"
	}
	writeJSON(t, file, h.configs[i])
	if err := os.MkdirAll(h.configs[i].Dir, 0o700); err != nil {
		t.Fatal(err)
	}
	// ip becomes the replica.
	h.daemons[i] = startDaemon(t, log, "ip", "netns", "exec", h.ns(i), bin, "shelf", "--config", file, "--log-level", "info")
}

// api connects to a replica by its Unix socket, which no partition cuts.
func (h *hosts) api(t *testing.T, i int) *grpc.ClientConn {
	t.Helper()
	conn, err := grpc.NewClient("unix:"+h.socket(i), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return conn
}
