package attack

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/midplane-project/midplane/internal/logtest"
	"github.com/midplane-project/midplane/node"
	"github.com/midplane-project/midplane/node/vm"
	"github.com/midplane-project/midplane/node/vm/vmtest"
)

// blade is a running node with a VM protocol socket, a LAN door and a guest.
type blade struct {
	*node.Node
	cfg   node.Config
	door  door // its administrator's
	guest *vmtest.Guest
	log   *logtest.Book
}

// vmSocket is where the node waits for its VM.
func (b *blade) vmSocket() string { return strings.TrimPrefix(b.cfg.Listen[0].Address, "unix:") }

// lone starts a server's BMC with both doors.
func lone(t testing.TB) *blade {
	t.Helper()
	return start(t, node.Config{Name: "lone"}, node.Options{}, new(logtest.Book))
}

// start starts a node of a configuration that lacks what all have. It ends
// with the test.
func start(t testing.TB, cfg node.Config, opt node.Options, log *logtest.Book) *blade {
	t.Helper()
	cfg.Interface, cfg.Dir = "kcs", shortDir(t)
	cfg.Listen = []node.Listen{{Address: "unix:" + filepath.Join(cfg.Dir, "vm")}}
	cfg.LAN.Listen = freePort(t)
	b := &blade{cfg: cfg, log: log}
	b.run(t, opt)
	return b
}

// run starts the node, waits for its doors and gives it a guest.
func (b *blade) run(t testing.TB, opt node.Options) (stop func()) {
	t.Helper()
	if opt.Log == nil {
		opt.Log = b.log.Logger(slog.LevelDebug)
	}
	n, err := node.New(b.cfg, opt)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() {
		done <- errors.Join(n.Run(ctx), n.Close())
		cancel()
	}()
	b.Node, b.guest = n, vmtest.New(vmtest.Options{})
	stop = sync.OnceFunc(func() {
		b.guest.Close()
		cancel()
		if err := <-done; err != nil {
			t.Errorf("%s: %v", b.cfg.Name, err)
		}
		if t.Failed() {
			t.Logf("%s said:\n%s", b.cfg.Name, b.log)
		}
	})
	t.Cleanup(stop)
	if err := b.guest.Dial(ctx, "unix", b.vmSocket()); err != nil { // the doors open together
		t.Fatal(err)
	}
	password, err := os.ReadFile(filepath.Join(b.cfg.Dir, node.LANPasswordFile))
	if err != nil {
		t.Fatal(err)
	}
	b.door = door{b.cfg.Name, b.cfg.LAN.Listen, node.LANUser, strings.TrimSpace(string(password))}
	return stop
}

// shortDir is a directory whose sockets have short names.
func shortDir(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "mpa")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}

func freePort(t testing.TB) string {
	t.Helper()
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	return conn.LocalAddr().String()
}

// forPower are what a VM can be told about its power.
var forPower = map[vm.Command]bool{
	vm.CommandPowerOff: true, vm.CommandReset: true, vm.CommandNMI: true, vm.CommandGracefulPower: true,
}

// untouched fails the test if the VM was told anything to its power.
func (b *blade) untouched(t testing.TB) {
	t.Helper()
	for _, c := range b.guest.Commands() {
		if forPower[c] {
			t.Errorf("%s: its VM was told %v", b.cfg.Name, c)
		}
	}
}
