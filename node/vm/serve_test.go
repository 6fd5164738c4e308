package vm_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"github.com/midplane-project/midplane/ipmb"
	"github.com/midplane-project/midplane/node/vm"
	"github.com/midplane-project/midplane/node/vm/vmtest"
)

func TestProbesAreHarmless(t *testing.T) {
	var connects atomic.Int32
	d, path := serve(t, vm.Config{Handler: echo, OnConnect: func(vm.Link) { connects.Add(1) }})
	g := guest(t, path, vmtest.Options{})
	for range 50 {
		conn, err := net.Dial("unix", path)
		if err != nil {
			t.Fatal(err)
		}
		_ = conn.Close()
	}
	var idle []net.Conn
	for range 20 { // strangers that stay must not keep a VM out
		conn, err := net.Dial("unix", path)
		if err != nil {
			t.Fatal(err)
		}
		idle = append(idle, conn)
	}
	ask(t, g, ipmb.OK, 1)
	h := guest(t, path, vmtest.Options{})
	ask(t, h, ipmb.OK, 1)
	if n := connects.Load(); n != 2 || len(d.Connected()) != 2 {
		t.Errorf("OnConnect %d times, connected %v", n, d.Connected())
	}
	for _, c := range idle {
		_ = c.Close()
	}
}

func TestGarbageIsHarmless(t *testing.T) {
	_, path := serve(t, vm.Config{Handler: echo})
	conn, err := net.Dial("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(30 * time.Second))
	if _, err := conn.Write(bytes.Repeat([]byte{0x55}, 1<<20)); err != nil {
		t.Fatal(err)
	}
	if _, err := conn.Write([]byte("\xa0\xaa\xa0\x00\xa0\x01\x02\x03\x04\x05\xa0\xa1\x77\xa1")); err != nil {
		t.Fatal(err)
	}
	w := vmtest.NewWire(conn)
	if r, err := w.Exchange(ipmb.NetFnApp, 0, 1, nil); err != nil || r.Code != ipmb.OK {
		t.Fatalf("%+v, %v", r, err)
	}
}

func TestDialFollowsTheVM(t *testing.T) {
	path := filepath.Join(t.TempDir(), "qemu.sock")
	d := vm.New(vm.Config{Handler: echo})
	defer d.Close()
	done := make(chan error, 1)
	go func() { done <- d.Dial(context.Background(), "unix", path) }()
	for range 2 { // the VM ends and another comes
		ln, err := net.Listen("unix", path)
		if err != nil {
			t.Fatal(err)
		}
		g := vmtest.New(vmtest.Options{})
		g.Listen(ln)
		if err := g.WaitCommand(deadline(t), vm.CommandVersion); err != nil {
			t.Fatal(err)
		}
		ask(t, g, ipmb.OK, 1)
		g.Disconnect()
		if err := g.WaitFor(deadline(t), "a new connection", (*vmtest.Guest).Connected); err != nil {
			t.Fatal(err)
		}
		ask(t, g, ipmb.OK, 1)
		g.Close()
	}
	_ = d.Close()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

func TestTCP(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	d := vm.New(vm.Config{Handler: echo})
	defer d.Close()
	go func() { _ = d.Serve(context.Background(), ln) }()
	g := vmtest.New(vmtest.Options{})
	defer g.Close()
	if err := g.Dial(deadline(t), "tcp", ln.Addr().String()); err != nil {
		t.Fatal(err)
	}
	ask(t, g, ipmb.OK, 1)
}

// TestCloseLosesNoRequest closes while a handler works: its answer still
// comes, then the end of the stream, and the node reads on until we close.
func TestCloseLosesNoRequest(t *testing.T) {
	entered := make(chan struct{})
	release := make(chan struct{})
	d := vm.New(vm.Config{Handler: ipmb.HandlerFunc(func(context.Context, *ipmb.Request) ipmb.Response {
		close(entered)
		<-release
		return ipmb.Response{}
	})})
	node, qemu := unixPair(t)
	_ = qemu.SetDeadline(time.Now().Add(30 * time.Second))
	go func() { _ = d.ServeConn(context.Background(), node) }()
	request := vm.AppendMessage(nil, vm.Message{Seq: 3, NetFn: ipmb.NetFnApp, Cmd: 1})
	if _, err := qemu.Write(request); err != nil {
		t.Fatal(err)
	}
	<-entered
	closed := make(chan struct{})
	go func() { _ = d.Close(); close(closed) }()
	close(release)
	got, err := io.ReadAll(qemu)
	if err != nil || !bytes.HasSuffix(got, []byte("\x03\x1c\x01\x00\xe0\xa0")) {
		t.Errorf("before the end: % x, %v", got, err)
	}
	if _, err := qemu.Write(request); err != nil {
		t.Errorf("the node does not read to the end: %v", err)
	}
	d.SetAttention(true) // must not disturb the farewell
	if _, err := qemu.Write(request); err != nil {
		t.Errorf("after an attention: %v", err)
	}
	select {
	case <-closed:
		t.Error("closed before the VM did")
	default:
	}
	_ = qemu.Close()
	<-closed
}

func TestCloseDoesNotWaitForEver(t *testing.T) {
	bubble(t, vm.Config{Handler: echo}, func(t *testing.T, d *vm.Door) {
		g := vmtest.New(vmtest.Options{})
		connect(t, d, g)
		began := time.Now()
		_ = d.Close()
		if took := time.Since(began); took > 3*time.Second {
			t.Errorf("took %v", took)
		}
		g.Close()
	})
	d := vm.New(vm.Config{Handler: echo})
	_ = d.Close()
	node, qemu := net.Pipe()
	defer qemu.Close()
	if err := d.ServeConn(t.Context(), node); !errors.Is(err, vm.ErrClosed) {
		t.Errorf("a connection for a closed door: %v", err)
	}
}

func TestAnswersFitTheInterface(t *testing.T) {
	for i, most := range map[vm.Interface]int{vm.KCS: 269, vm.BT: 251, vm.SSIF: 252} {
		t.Run(i.String(), func(t *testing.T) {
			_, path := serve(t, vm.Config{Interface: i, Handler: ipmb.HandlerFunc(func(_ context.Context, r *ipmb.Request) ipmb.Response {
				return ipmb.Response{Data: make([]byte, most+int(r.Data[0]))}
			})})
			g := guest(t, path, vmtest.Options{})
			if got := ask(t, g, ipmb.OK, 1, 0); len(got) != most {
				t.Errorf("%d bytes, want %d", len(got), most)
			}
			if got := ask(t, g, ipmb.ErrTruncated, 1, 1); len(got) != 0 {
				t.Errorf("%d bytes beyond the limit", len(got))
			}
		})
	}
}

func TestTapSeesAll(t *testing.T) {
	var seen []string
	tap := func(dir vm.Direction, msg []byte, note string) {
		seen = append(seen, dir.String()+" "+string(msg)+note)
	}
	bubble(t, vm.Config{Handler: echo, Tap: tap}, func(t *testing.T, d *vm.Door) {
		g := vmtest.New(vmtest.Options{})
		defer g.Close()
		connect(t, d, g)
		ask(t, g, ipmb.OK, 0x01, 0x55)
	})
	want := []string{
		"from guest version 01", "from guest capabilities 3f",
		"to guest version", "to guest disable irq", "to guest no attention",
		"from guest \x18\x01\x55", "to guest \x1c\x01\x00\x01\x55",
	}
	for i, w := range want {
		if i >= len(seen) || seen[i] != w {
			t.Fatalf("saw %q, want %q", seen, want)
		}
	}
}

func TestParseInterface(t *testing.T) {
	for s, want := range map[string]vm.Interface{"kcs": vm.KCS, "pci-kcs": vm.KCS, "bt": vm.BT, "pci-bt": vm.BT, "ssif": vm.SSIF} {
		if got, err := vm.ParseInterface(s); err != nil || got != want {
			t.Errorf("%s: %v, %v", s, got, err)
		}
	}
	if _, err := vm.ParseInterface("smic"); err == nil {
		t.Error("smic accepted")
	}
}
