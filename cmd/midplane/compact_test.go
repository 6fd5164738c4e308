package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/midplane-project/midplane/deploy/lab"
	"github.com/midplane-project/midplane/internal/jsonfile"
	"github.com/midplane-project/midplane/internal/lanclient"
	"github.com/midplane-project/midplane/ipmb"
	"github.com/midplane-project/midplane/node"
	"github.com/midplane-project/midplane/node/vm/vmtest"
	v1 "github.com/midplane-project/midplane/proto/midplane/v1"
	"github.com/midplane-project/midplane/shelf"
	"github.com/midplane-project/midplane/shelf/front"
)

const compactPatience = 2 * time.Minute

// compactLab is the file of a shelf with three replicas and two nodes.
func compactLab(t testing.TB) (c lab.Compact, dir string) {
	dir, err := os.MkdirTemp("", "mp") // short: Unix sockets have short paths
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	addrs := []string{"10.0.0.1:1", "10.0.0.2:1", "10.0.0.3:1"} // where nobody listens
	writeFile(t, filepath.Join(dir, "key"), strings.Repeat("k", 32))
	writeFile(t, filepath.Join(dir, "password"), doorPassword+"\n")
	free, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer free.Close()
	c.Front = &front.Config{Listen: free.LocalAddr().String()}
	var replicas []node.Replica
	for i, addr := range addrs {
		name := fmt.Sprintf("shm%d", i+1)
		c.Replicas = append(c.Replicas, shelf.Config{
			Name: name, Dir: filepath.Join(dir, name), Listen: addr, Expect: 3, Seeds: addrs, Timing: "lan", PKI: dir,
			Cluster: "7c9a1c1e-5b3e-4c55-9d77-0a2f4d1c0001", API: "unix:" + filepath.Join(dir, name+".sock"),
			Shelves: []shelf.Declared{{Name: "lab", LAN: &shelf.LANDoor{
				Listen: "unix:" + filepath.Join(dir, name+".lan"), Key: filepath.Join(dir, "key"), Password: filepath.Join(dir, "password"),
			}}},
		})
		c.Front.Replicas = append(c.Front.Replicas, c.Replicas[i].Shelves[0].LAN.Listen)
		replicas = append(replicas, node.Replica{Name: name, Address: addr})
	}
	for slot := 1; slot <= 2; slot++ {
		name := fmt.Sprintf("blade%d", slot)
		c.Nodes = append(c.Nodes, node.Config{
			Shelf: "lab", Slot: slot, Name: name, Profile: node.ProfileATCA, Interface: "kcs", Dir: filepath.Join(dir, name),
			Listen:   []node.Listen{{Address: "unix:" + filepath.Join(dir, name+".vm.sock")}},
			Replicas: replicas, PKI: dir, API: "unix:" + filepath.Join(dir, name+".sock"),
		})
	}
	return c, dir
}

// TestCompact runs a whole shelf in this process: a guest asks the other's
// controller and 20h, and the APIs answer on their sockets; the LAN
// door of the shelf is there too.
func TestCompact(t *testing.T) {
	c, dir := compactLab(t)
	path := filepath.Join(dir, "compact.json")
	if err := jsonfile.Write(path, c); err != nil {
		t.Fatal(err)
	}
	read, err := readCompact(path)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), compactPatience)
	ended := make(chan error, 1)
	go func() { ended <- newCompact(read, slog.New(slog.DiscardHandler)).run(ctx) }()
	defer func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}()
	g := vmtest.New(vmtest.Options{})
	defer g.Close()
	if err := g.Dial(ctx, "unix", filepath.Join(dir, "blade1.vm.sock")); err != nil {
		t.Fatal(err)
	}
	if _, err := g.Probe(ctx); err != nil {
		t.Fatal(err)
	}
	for _, to := range []ipmb.Addr{0x84, ipmb.AddrShelfManager} {
		askUntil(ctx, t, g, to)
	}
	checkCompactDoor(ctx, t, c.Front.Listen)
	checkCompactAPI(ctx, t, lab.Endpoint{Name: "shm2", Unix: filepath.Join(dir, "shm2.sock")})
}

// askUntil asks for the device ID until there is one: the shelf has just begun.
func askUntil(ctx context.Context, t *testing.T, g *vmtest.Guest, to ipmb.Addr) {
	t.Helper()
	for {
		r, err := g.Ask(ctx, to, ipmb.Request{NetFn: ipmb.NetFnApp, Cmd: ipmb.CmdGetDeviceID})
		switch {
		case err != nil:
			t.Fatalf("ask %s: %v", to, err)
		case r.Code == ipmb.OK && len(r.Data) >= 11:
			return
		}
	}
}

// checkCompactDoor logs in at the shelf manager's LAN door.
func checkCompactDoor(ctx context.Context, t *testing.T, at string) {
	t.Helper()
	who := lanclient.Credentials{Suite: lanclient.Suite3, User: node.LANUser, Password: doorPassword}
	c, err := lanclient.Dial(ctx, at, who)
	if err != nil {
		t.Fatal(err)
	}
	id, err := c.Bridge(ctx, 0x84, ipmb.NetFnApp, ipmb.CmdGetDeviceID)
	if err = errors.Join(err, c.Close(ctx)); err != nil || len(id) < 11 {
		t.Errorf("% x, %v", id, err)
	}
}

// checkCompactAPI sees to it that a replica tells of all three.
func checkCompactAPI(ctx context.Context, t *testing.T, e lab.Endpoint) {
	t.Helper()
	cc, err := e.Dial()
	if err != nil {
		t.Fatal(err)
	}
	defer cc.Close()
	for { // two are enough to begin, and the third may be late
		st, err := v1.NewClusterClient(cc).Status(ctx, &v1.ClusterStatusRequest{})
		if err != nil {
			t.Fatal(err)
		}
		reachable := 0
		for _, m := range st.Members {
			if m.Reachable {
				reachable++
			}
		}
		if reachable == 3 && st.Leader != "" {
			return
		}
		select {
		case <-ctx.Done():
			t.Fatalf("%d members reachable, leader %q: %v", reachable, st.Leader, st)
		case <-time.After(10 * time.Millisecond):
		}
	}
}

func TestCompactRefusesWhatIsWrong(t *testing.T) {
	c, dir := compactLab(t)
	c.Replicas[0].Timing = "slow"
	c.Front.Replicas = nil
	c.Nodes[1].Slot = 0
	path := filepath.Join(dir, "compact.json")
	if err := jsonfile.Write(path, c); err != nil {
		t.Fatal(err)
	}
	if _, err := readCompact(path); err == nil {
		t.Error("accepted")
	}
}
