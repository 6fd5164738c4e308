package vmtest_test

import (
	"context"
	"net"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/midplane-project/midplane/ipmb"
	"github.com/midplane-project/midplane/node/vm"
	"github.com/midplane-project/midplane/node/vm/vmtest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// bmc is a controller that sends what is sent by it back to the guest's queue,
// answered by whoever it was for.
type bmc struct {
	door    *vm.Door
	asked   []ipmb.Cmd
	sent    [][]byte
	queue   [][]byte
	enables byte
}

func (b *bmc) ServeIPMI(_ context.Context, r *ipmb.Request) ipmb.Response {
	b.asked = append(b.asked, r.Cmd)
	switch r.Cmd {
	case ipmb.CmdGetDeviceID:
		return ipmb.Response{Data: make([]byte, 15)}
	case ipmb.CmdGetGlobalEnables:
		return ipmb.Response{Data: []byte{b.enables}}
	case ipmb.CmdSetGlobalEnables:
		b.enables = r.Data[0]
		b.door.SetInterrupts(b.enables&1 != 0)
	case ipmb.CmdReadEventMessageBuffer:
		return ipmb.Response{Code: ipmb.ErrEmpty}
	case ipmb.CmdSendMessage:
		b.bridge(r.Data)
	case ipmb.CmdGetMessageFlags:
		return ipmb.Response{Data: []byte{byte(min(len(b.queue), 1))}}
	case ipmb.CmdGetMessage:
		return b.fetch()
	}
	return ipmb.Response{}
}

func (b *bmc) bridge(data []byte) {
	b.sent = append(b.sent, append([]byte(nil), data...))
	f, err := ipmb.ParseFrame(data[1:])
	if err != nil {
		return
	}
	answer, _ := f.Reply(ipmb.Response{Data: []byte{0x20, 0x81}}).AppendBinary(nil)
	b.queue = append(b.queue, append([]byte{0}, answer[1:]...))
	b.door.SetAttention(true)
}

func (b *bmc) fetch() ipmb.Response {
	if len(b.queue) == 0 {
		return ipmb.Response{Code: ipmb.ErrEmpty}
	}
	m := b.queue[0]
	b.queue = b.queue[1:]
	b.door.SetAttention(len(b.queue) > 0)
	return ipmb.Response{Data: m}
}

// start connects a guest to a controller.
func start(t *testing.T, o vmtest.Options) (*vmtest.Guest, *bmc) {
	t.Helper()
	b := &bmc{}
	b.door = vm.New(vm.Config{Handler: b})
	node, qemu := net.Pipe()
	go func() { _ = b.door.ServeConn(context.Background(), node) }()
	g := vmtest.New(o)
	if err := g.Connect(qemu); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { g.Close(); _ = b.door.Close() })
	return g, b
}

func TestProbeIsThatOfLinux(t *testing.T) {
	g, b := start(t, vmtest.Options{})
	if id, err := g.Probe(t.Context()); err != nil || len(id) != 15 {
		t.Fatalf("% x, %v", id, err)
	}
	want := []ipmb.Cmd{0x01, 0x2f, 0x2f, 0x2e, 0x2f, 0x2e, 0x2f, 0x2e, 0x30, 0x08, 0x35, 0x01}
	if diff := cmp.Diff(want, b.asked[:len(want)]); diff != "" {
		t.Error(diff)
	}
	if err := g.WaitFor(t.Context(), "interrupts", (*vmtest.Guest).Interrupts); err != nil {
		t.Error(err)
	}
}

func TestAskAnotherController(t *testing.T) {
	g, b := start(t, vmtest.Options{})
	r, err := g.Ask(t.Context(), 0x84, ipmb.Request{NetFn: ipmb.NetFnApp, Cmd: ipmb.CmdGetDeviceID})
	if err != nil || r.Code != ipmb.OK || string(r.Data) != "\x20\x81" {
		t.Fatalf("%+v, %v", r, err)
	}
	// As captured from Linux: ipmitool -b 0 -t 0x84 mc info.
	if want := "\x00\x84\x18\x64\x20\x02\x01\xdd"; string(b.sent[0]) != want {
		t.Errorf("sent % x, want % x", b.sent[0], want)
	}
}

func TestParseReceived(t *testing.T) {
	// An answer of 84h to the request above.
	got, err := vmtest.ParseReceived([]byte("\x00\x1e\xc2\x84\x00\x01\x00\x20\x81\xda"))
	if err != nil {
		t.Fatal(err)
	}
	want := vmtest.Received{Frame: ipmb.Frame{
		To: 0x20, NetFn: 0x07, ToLUN: 2, From: 0x84, Cmd: 0x01, Data: []byte{0x00, 0x20, 0x81},
	}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	for _, bad := range []string{"", "\x00\x1e\xc2", "\x00\x1e\xc2\x84\x00\x01\x00\x20\x81\xdb"} {
		if _, err := vmtest.ParseReceived([]byte(bad)); err == nil {
			t.Errorf("% x accepted", bad)
		}
	}
}

// TestLateAnswerStopsTheTimeout: the guest has QEMU's worst habit too.
func TestLateAnswerStopsTheTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		node, qemu := net.Pipe()
		g := vmtest.New(vmtest.Options{Seq: 5})
		go func() {
			buf := make([]byte, 100)
			for {
				if _, err := node.Read(buf); err != nil {
					return
				}
			}
		}()
		if err := g.Connect(qemu); err != nil {
			t.Fatal(err)
		}
		code, _, err := g.Do(t.Context(), ipmb.NetFnApp, 0, 1, nil)
		if code != ipmb.ErrTimeout || err != nil {
			t.Fatalf("without an answer: %v, %v", code, err)
		}
		time.AfterFunc(time.Second, func() {
			_, _ = node.Write(vm.AppendMessage(nil, vm.Message{Seq: 5, NetFn: 7, Cmd: 1, Data: []byte{0}}))
		})
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if code, _, err := g.Do(ctx, ipmb.NetFnApp, 0, 1, nil); err == nil {
			t.Errorf("answered %v", code)
		}
		if g.Dropped() != 1 || g.Seq() != 7 {
			t.Errorf("%d dropped, seq %d", g.Dropped(), g.Seq())
		}
		g.Close()
		if code, _, _ := g.Do(t.Context(), ipmb.NetFnApp, 0, 1, nil); code != ipmb.ErrInitialising {
			t.Errorf("without a node: %v", code)
		}
		_ = node.Close()
	})
}
