package vm_test

import (
	"context"
	"net"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/midplane-project/midplane/ipmb"
	"github.com/midplane-project/midplane/node/vm"
	"github.com/midplane-project/midplane/node/vm/vmtest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// echo answers with the command and the data of the request.
var echo = ipmb.HandlerFunc(func(_ context.Context, r *ipmb.Request) ipmb.Response {
	return ipmb.Response{Data: append([]byte{byte(r.Cmd)}, r.Data...)}
})

// serve runs a door on a Unix socket and gives the socket's path.
func serve(t *testing.T, cfg vm.Config) (*vm.Door, string) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "vm.sock")
	ln, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	d := vm.New(cfg)
	done := make(chan error, 1)
	go func() { done <- d.Serve(t.Context(), ln) }()
	t.Cleanup(func() {
		if err := d.Close(); err != nil {
			t.Error(err)
		}
		if err := <-done; err != nil {
			t.Errorf("Serve: %v", err)
		}
	})
	return d, path
}

// guest dials the door as QEMU does and waits for the state that it is sent.
func guest(t *testing.T, path string, o vmtest.Options) *vmtest.Guest {
	t.Helper()
	g := vmtest.New(o)
	t.Cleanup(g.Close)
	ctx := deadline(t)
	if err := g.Dial(ctx, "unix", path); err != nil {
		t.Fatal(err)
	}
	if err := g.WaitCommand(ctx, vm.CommandVersion); err != nil {
		t.Fatal(err)
	}
	return g
}

// deadline bounds what would otherwise hang; nothing is measured by it.
func deadline(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	t.Cleanup(cancel)
	return ctx
}

// ask expects completion code want and gives the data.
func ask(t *testing.T, g *vmtest.Guest, want ipmb.CompletionCode, cmd ipmb.Cmd, data ...byte) []byte {
	t.Helper()
	code, out, err := g.Do(deadline(t), ipmb.NetFnApp, ipmb.LUNBMC, cmd, data)
	if err != nil {
		t.Fatal(err)
	}
	if code != want {
		t.Fatalf("command %02x: %v, want %v", uint8(cmd), code, want)
	}
	return out
}

func TestRequestsAreAnswered(t *testing.T) {
	var origin atomic.Pointer[ipmb.Origin]
	_, path := serve(t, vm.Config{
		Origin: ipmb.Origin{Source: 0x82, Shelf: "demo"},
		Handler: ipmb.HandlerFunc(func(ctx context.Context, r *ipmb.Request) ipmb.Response {
			origin.Store(&r.Origin)
			return echo(ctx, r)
		}),
	})
	g := guest(t, path, vmtest.Options{})
	for i := range 600 { // the sequence number passes A0h, A1h, AAh and wraps
		if got := ask(t, g, ipmb.OK, 0x01, byte(i)); len(got) != 2 || got[1] != byte(i) {
			t.Fatalf("request %d: answer % x", i, got)
		}
	}
	want := ipmb.Origin{
		Speaker: ipmb.SpeakerGuest, Door: ipmb.DoorSystem, Channel: ipmb.ChannelSystem,
		Privilege: ipmb.PrivilegeAdmin, Shelf: "demo", Source: 0x82,
	}
	if got := *origin.Load(); got != want {
		t.Errorf("origin %+v, want %+v", got, want)
	}
}
