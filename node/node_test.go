package node

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
	"time"

	"github.com/midplane-project/midplane/ipmb"
	"github.com/midplane-project/midplane/node/vm/vmtest"
)

// lone is the configuration of a standalone node whose VM connects by a socket.
func lone(t *testing.T) Config {
	t.Helper()
	dir, err := os.MkdirTemp("", "node") // t.TempDir may be too long for a socket
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return Config{Interface: "kcs", Dir: dir, Listen: []Listen{{Address: "unix:" + filepath.Join(dir, "vm")}}}
}

// running is a node that runs in this process.
type running struct {
	*Node
	t    *testing.T
	stop context.CancelFunc
	done chan error
}

func run(t *testing.T, cfg Config, h *Handover) *running {
	t.Helper()
	next, err := ListenSuccessor(cfg)
	if err != nil {
		t.Fatal(err)
	}
	n, err := New(cfg, Options{Log: slog.New(slog.DiscardHandler), Successor: next, Handover: h})
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	r := &running{n, t, stop, make(chan error, 1)}
	go func() {
		err := n.Run(ctx)
		r.done <- errors.Join(err, n.Close())
	}()
	return r
}

// end stops the node and gives what Run and Close said.
func (r *running) end() error {
	r.stop()
	return <-r.done
}

// connect gives a guest to a node.
func connect(t *testing.T, cfg Config) *vmtest.Guest {
	t.Helper()
	g := vmtest.New(vmtest.Options{})
	t.Cleanup(g.Close)
	if err := g.Connect(dialSoon(t, strings.TrimPrefix(cfg.Listen[0].Address, "unix:"))); err != nil {
		t.Fatal(err)
	}
	return g
}

// dialSoon connects to a socket at which the node listens soon.
func dialSoon(t *testing.T, socket string) net.Conn {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(time.Millisecond) {
		conn, err := net.Dial("unix", socket)
		if err == nil {
			t.Cleanup(func() { _ = conn.Close() })
			return conn
		}
		if time.Now().After(deadline) {
			t.Fatal(err)
		}
	}
}

func TestStandalone(t *testing.T) {
	cfg := lone(t)
	n := run(t, cfg, nil)
	g := connect(t, cfg)
	id, err := g.Probe(t.Context())
	if err != nil || len(id) != 15 {
		t.Fatalf("Device ID % x: %v", id, err)
	}
	ask := func(n ipmb.NetFn, c ipmb.Cmd, data ...byte) ipmb.CompletionCode {
		code, _, err := g.Do(t.Context(), n, 0, c, data)
		if err != nil {
			t.Fatal(err)
		}
		return code
	}
	if code := ask(ipmb.NetFnGroup, 1, 0); code != ipmb.ErrInvalidCommand {
		t.Errorf("PICMG: %v", code)
	}
	if code := ask(ipmb.NetFnSensor, 2, 0x41, 4, 2, 0x30, 1, 0x57, 0xFF, 0xFF); code != ipmb.OK {
		t.Errorf("event: %v", code)
	}
	r, err := g.Ask(t.Context(), ipmb.AddrShelfManager, ipmb.Request{NetFn: ipmb.NetFnApp, Cmd: ipmb.CmdGetDeviceID})
	if err != nil || string(r.Data) != string(id) {
		t.Errorf("itself over the bus: %v, %v", r, err)
	}
	if _, code, err := g.SendIPMB(t.Context(), 0x84, ipmb.Request{NetFn: ipmb.NetFnApp, Cmd: 1}); code != ipmb.ErrDestination || err != nil {
		t.Errorf("somebody else: %v, %v", code, err)
	}
	if s := n.Status(); !s.VmLink || s.VmState != "running" || s.Address != 0x20 {
		t.Errorf("status %v", s)
	}
	if err := n.end(); err != nil {
		t.Error(err)
	}
	if code := ask(ipmb.NetFnApp, 1); code != ipmb.ErrInitialising {
		t.Errorf("without a node: %v", code)
	}
}

// The node's end is not the end of what it keeps.
func TestStandaloneRestarts(t *testing.T) {
	cfg := lone(t)
	for boot := range 3 {
		n := run(t, cfg, nil)
		g := connect(t, cfg)
		_, data, err := g.Do(t.Context(), ipmb.NetFnApp, 0, ipmb.CmdGetGlobalEnables, nil)
		if err != nil || boot > 0 && data[0] != 0x0F {
			t.Errorf("start %d: enables % x, %v", boot, data, err)
		}
		if _, err := g.Probe(t.Context()); err != nil {
			t.Fatal(err)
		}
		if s := n.Status(); s.Boot != uint64(boot+1) {
			t.Errorf("boot %d", s.Boot)
		}
		if err := n.end(); err != nil {
			t.Error(err)
		}
	}
}

// A guest that asks without a pause sees no sign of a node's being taken over
// again and again: no D2h, no answer that is not its own.
func TestTakeOver(t *testing.T) {
	cfg := lone(t)
	n := run(t, cfg, nil)
	g := connect(t, cfg)
	if _, err := g.Probe(t.Context()); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	var asking sync.WaitGroup
	count := 0
	asking.Go(func() {
		for ctx.Err() == nil {
			count++
			code, _, err := g.Do(t.Context(), ipmb.NetFnApp, 0, ipmb.CmdGetDeviceID, nil)
			if code != ipmb.OK || err != nil {
				t.Errorf("request %d: %v, %v", count, code, err)
				return
			}
			r, err := g.Ask(t.Context(), ipmb.AddrShelfManager, ipmb.Request{NetFn: ipmb.NetFnStorage, Cmd: 0x48})
			if r.Code != ipmb.OK || err != nil {
				t.Errorf("request %d over the bus: %v, %v", count, r.Code, err)
				return
			}
		}
	})
	for range 20 {
		h, err := TakeOver(t.Context(), cfg)
		if err != nil || h == nil || h.file == nil {
			t.Fatalf("%+v, %v", h, err)
		}
		if err := <-n.done; !errors.Is(err, ErrHandedOver) {
			t.Fatal(err)
		}
		n = run(t, cfg, h)
	}
	cancel()
	asking.Wait()
	if g.Dropped() > 0 {
		t.Errorf("%d answers that nobody waited for", g.Dropped())
	}
	if err := n.end(); err != nil {
		t.Error(err)
	}
	t.Logf("%d times asked", count)
}

func TestTakeOverWithoutVM(t *testing.T) {
	cfg := lone(t)
	if h, err := TakeOver(t.Context(), cfg); h != nil || err != nil {
		t.Fatalf("of nobody: %+v, %v", h, err)
	}
	n := run(t, cfg, nil)
	h, err := TakeOver(t.Context(), cfg)
	if err != nil || h == nil || h.file != nil {
		t.Fatalf("%+v, %v", h, err)
	}
	if err := <-n.done; !errors.Is(err, ErrHandedOver) {
		t.Fatal(err)
	}
	n = run(t, cfg, h)
	if _, err := connect(t, cfg).Probe(t.Context()); err != nil {
		t.Error(err)
	}
	if err := n.end(); err != nil {
		t.Error(err)
	}
}

// Whoever only looks, or says something else, does not get the node.
func TestStrangersDoNotTakeOver(t *testing.T) {
	cfg := lone(t)
	n := run(t, cfg, nil)
	for _, say := range []string{"", "hello", "midplane: take over?"} {
		conn, err := net.Dial("unix", cfg.handoverPath())
		if err != nil {
			t.Fatal(err)
		}
		if _, err := conn.Write([]byte(say)); err != nil {
			t.Fatal(err)
		}
		_ = conn.Close()
	}
	if _, err := connect(t, cfg).Probe(t.Context()); err != nil {
		t.Error(err)
	}
	if err := n.end(); err != nil {
		t.Error(err)
	}
}

// A predecessor that dies in the middle leaves an error, not half a state.
func TestTakeOverFromDying(t *testing.T) {
	cfg := lone(t)
	ln, err := ListenSuccessor(cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	go func() {
		if conn, err := ln.Accept(); err == nil {
			_, _ = conn.Write([]byte(`{"capabil`))
			_ = conn.Close()
		}
	}()
	if h, err := TakeOver(t.Context(), cfg); err == nil {
		t.Errorf("got %+v", h)
	}
}

func TestNewRefuses(t *testing.T) {
	cfg := lone(t)
	first, err := New(cfg, Options{Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := New(cfg, Options{Log: slog.New(slog.DiscardHandler)}); err == nil {
		t.Error("two nodes in one directory")
	}
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(cfg.Dir, storeFile), []byte("no database"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := New(cfg, Options{Log: slog.New(slog.DiscardHandler)}); err == nil || !strings.Contains(err.Error(), "node repair --dir "+cfg.Dir) {
		t.Errorf("a file that is no store: %v", err)
	}
	if r, err := Repair(cfg.Dir); err != nil || r.Aside == "" {
		t.Errorf("%+v, %v", r, err)
	}
	mended, err := New(cfg, Options{Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	if err := mended.Close(); err != nil {
		t.Error(err)
	}
	cfg.Interface = "morse"
	if _, err := New(cfg, Options{}); err == nil || !strings.Contains(err.Error(), "morse") {
		t.Errorf("interface: %v", err)
	}
}

func TestRunRefuses(t *testing.T) {
	cfg := lone(t)
	cfg.Listen = append(cfg.Listen, Listen{Address: "unix:/nowhere/at/all"})
	n, err := New(cfg, Options{Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	if err := n.Run(t.Context()); err == nil || !strings.Contains(err.Error(), "/nowhere/at/all") {
		t.Errorf("run: %v", err)
	}
	if err := n.Close(); err != nil {
		t.Error(err)
	}
}
