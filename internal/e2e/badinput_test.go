//go:build e2e

package e2e_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/midplane-project/midplane/deploy/lab"
	"github.com/midplane-project/midplane/internal/jsonfile"
	"github.com/midplane-project/midplane/internal/trust"
	"github.com/midplane-project/midplane/ipmb"
	"github.com/midplane-project/midplane/node"
	"github.com/midplane-project/midplane/node/vm/vmtest"
)

// junk are bytes that no protocol here begins with, or that begin one badly.
var junk = map[string][]byte{
	"nothing":               nil,
	"zeroes":                make([]byte, 4096),
	"text":                  []byte("GET / HTTP/1.1\r\nHost: midplane\r\n\r\n"),
	"an HTTP/2 preface":     []byte("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\xff\xff\xff\xff\xff\xff\xff\xff\xff"),
	"half a TLS hello":      {0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3},
	"a raft hello":          []byte("MPR\x01\xff\xff\xff\xff"),
	"a VM message cut off":  {0x01, 0x18, 0x01},
	"a VM message's end":    bytes.Repeat([]byte{0xa0}, 4096),
	"VM commands":           bytes.Repeat([]byte{0xff, 0x01, 0xa1, 0x77, 0xa1}, 500),
	"escapes":               bytes.Repeat([]byte{0xaa}, 100_000),
	"a long VM message":     append(bytes.Repeat([]byte{1}, 100_000), 0xa0),
	"VM message, bad check": {0x01, 0x18, 0x01, 0x00, 0xa0},
}

// TestGarbage throws junk at every socket while a guest's requests are in
// flight: none of them notices.
func TestGarbage(t *testing.T) {
	s, other := blades.up(t), bare.up(t)
	front, _ := other.Topology.Node("fore")
	l := s.loop(t, "blade1", inFlight)
	for _, e := range s.ReplicaAPIs() {
		for _, data := range junk {
			throw(t, "tcp", e.Address, data)
			throw(t, "unix", e.Unix, data)
		}
		for _, proto := range []string{trust.ProtoRaft, trust.ProtoBus, "smtp"} {
			if visit(t, e.Address, proto, s.PKIDir(), "admin/lab", false) == nil {
				t.Errorf("%s lets an administrator speak %s", e.Name, proto)
			}
		}
	}
	for _, data := range junk {
		throw(t, "unix", s.NodeAPI("blade1").Unix, data)
		throw(t, "unix", other.VMSocket(front), data)
	}
	noise := make([]byte, 64<<10)
	for i := range noise {
		noise[i] = byte(rand.Uint32())
	}
	throw(t, "unix", other.VMSocket(front), noise)
	l.more(t, 1)
	l.exact(t)
	s.healthy(t)

	// A guest still finds its BMC where the junk went.
	g := vmtest.New(vmtest.Options{})
	defer g.Close()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if err := g.Dial(ctx, "unix", other.VMSocket(front)); err != nil {
		t.Fatal(err)
	}
	if _, err := g.Probe(ctx); err != nil {
		t.Errorf("a guest's probe after the junk: %v", err)
	}
	if r, err := g.Ask(ctx, ipmb.AddrShelfManager, ipmb.Request{NetFn: ipmb.NetFnApp, Cmd: 1}); err != nil || r.Code != 0 {
		t.Errorf("a guest's request to 0x20 after the junk: %v, %v", r, err)
	}
}

// throw writes data to a socket, and hangs up when the other side has or says
// no more.
func throw(t *testing.T, network, addr string, data []byte) {
	t.Helper()
	conn, err := net.DialTimeout(network, addr, patience)
	if err != nil {
		t.Errorf("%s does not take connections: %v", addr, err)
		return
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(100 * time.Millisecond)) // a server may wait for more
	_, _ = conn.Write(data)                                      // it may have hung up
	_, _ = io.Copy(io.Discard, conn)
}

// TestSecondClaimant starts another node for a slot that has one. It waits, and
// the first is not disturbed.
func TestSecondClaimant(t *testing.T) {
	s := bare.up(t)
	before := okJSON[psJSON](t, "--shelf", s.Name, "ps").slot("fore")
	c, err := node.ReadConfig(filepath.Join(s.NodeDir("fore"), "node.json"))
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(home, "twin")
	c.Name, c.Dir, c.API = "twin", dir, "unix:"+filepath.Join(home, "twin.sock")
	c.Listen[0].Address, c.LAN = "unix:"+filepath.Join(home, "twin.vm"), node.LANDoor{} // each its own
	d := s.daemon(t, "node", c, dir)
	d.says(t, "0x82 is held by another instance")
	if now := okJSON[psJSON](t, "--shelf", s.Name, "ps").slot("fore"); now != before {
		t.Errorf("slot 1 was %v and is %v", before, now)
	}
	s.do(t, "raw", "fore", "6", "1")
}

// psJSON is a part of what ps -o json prints.
type psJSON struct {
	Slots []slotJSON
}

type slotJSON struct {
	Name, State string
	Since       string
}

func (p psJSON) slot(name string) slotJSON {
	for _, s := range p.Slots {
		if s.Name == name {
			return s
		}
	}
	return slotJSON{}
}

// TestCannotStart brings up what cannot run. It says why, and nothing runs.
func TestCannotStart(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	_, port, _ := net.SplitHostPort(taken.Addr().String())
	for _, tt := range []struct {
		name, yaml string
		code       int
		says       []string
	}{
		{"noqemu", "nodes: [{slot: 1, name: a, qemu: {binary: /nonexistent/qemu}}]", 1, []string{"/nonexistent/qemu", "qemu: none"}},
		{"nokernel", "nodes: [{slot: 1, name: a, qemu: {kernel: /nonexistent/vmlinuz, initrd: /nonexistent/initrd}}]", 1, []string{"/nonexistent/vmlinuz"}},
		{"port", "replicas: 1\nports: [" + port + "]\nnodes: [{slot: 1, name: a, qemu: none}]", 1, []string{"port " + port, "ss -ltnp"}},
		{"typo", "nodes: [{slot: 1, name: a, qmeu: none}]", 2, []string{"typo.yaml:2:", "qmeu"}},
		{"twice", "nodes: [{slot: 1, name: a, qemu: none}, {slot: 1, name: b, qemu: none}]", 2, []string{"twice.yaml:2:", "slot 1 is taken by a"}},
		{"interface", "nodes: [{slot: 1, name: a, interface: smic, qemu: none}]", 2, []string{"smic"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			file := filepath.Join(home, tt.name+".yaml")
			if err := os.WriteFile(file, []byte("name: "+tt.name+"\n"+tt.yaml+"\n"), 0o600); err != nil {
				t.Fatal(err)
			}
			fails(t, tt.code, tt.says, "up", "-f", file, "--timeout", "1m")
			h, err := lab.OpenHome()
			if err != nil {
				t.Fatal(err)
			}
			if _, err := h.Open(tt.name); err == nil {
				ok(t, "down", "--shelf", tt.name)
			}
			if left := processes(filepath.Join(home, "s", tt.name)); len(left) > 0 {
				t.Errorf("these run: %s", brief(left))
			}
		})
	}
}

// TestDamagedFiles damages a stopped daemon's database. It says which file is
// damaged and does not start; the others go on.
func TestDamagedFiles(t *testing.T) {
	s := bare.up(t)
	for process, file := range map[string]string{
		"shm2":      filepath.Join(s.ReplicaDir("shm2"), "raft.db"),
		"node/rear": filepath.Join(s.NodeDir("rear"), "node.db"),
	} {
		t.Run(process, func(t *testing.T) {
			s.do(t, "kill", process)
			named := strings.Count(s.do(t, "logs", process), file)
			whole, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			damaged := bytes.Clone(whole)
			for i := range damaged {
				damaged[i] ^= 0x5a
			}
			if err := os.WriteFile(file, damaged, 0o600); err != nil {
				t.Fatal(err)
			}
			_ = midplane(t, "--shelf", s.Name, "start", process) // it may have run for a moment
			eventually(t, patience, "the daemon says what is wrong", func() error {
				out, err := commandOutput("--shelf", s.Name, "logs", process)
				if err == nil && strings.Count(out, file) <= named {
					err = errors.New(lastLines(out, 5))
				}
				return err
			})
			s.do(t, "raw", "fore", "6", "1")
			s.do(t, "raw", "shelf", "6", "1")
			_ = midplane(t, "--shelf", s.Name, "kill", process) // whether it runs just now or not
			if err := os.WriteFile(file, whole, 0o600); err != nil {
				t.Fatal(err)
			}
			s.do(t, "start", process)
		})
	}
	s.healthy(t)
}

// writeJSON writes a daemon's file.
func writeJSON(t *testing.T, path string, config any) {
	t.Helper()
	data, err := jsonfile.Marshal(config)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o700), os.WriteFile(path, data, 0o600)); err != nil {
		t.Fatal(err)
	}
}
