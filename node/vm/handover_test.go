package vm_test

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"testing"
	"time"

	"github.com/midplane-project/midplane/ipmb"
	"github.com/midplane-project/midplane/node/vm"
	"github.com/midplane-project/midplane/node/vm/vmtest"
)

// handOver moves the VM from one door to a new one, by way of JSON and a file.
func handOver(t *testing.T, ctx context.Context, old *vm.Door, cfg vm.Config) *vm.Door {
	t.Helper()
	st, file, err := old.Detach(ctx)
	if err != nil || file == nil {
		t.Fatalf("detach: file %v, %v", file, err)
	}
	return goOn(t, st, file, cfg)
}

func goOn(t *testing.T, st vm.State, file *os.File, cfg vm.Config) *vm.Door {
	t.Helper()
	b, err := json.Marshal(st)
	if err != nil {
		t.Fatal(err)
	}
	var back vm.State
	if err := json.Unmarshal(b, &back); err != nil {
		t.Fatal(err)
	}
	resumed, done := make(chan vm.Link, 1), make(chan error, 1)
	cfg.OnConnect = func(l vm.Link) { resumed <- l }
	d := vm.New(cfg)
	go func() { done <- d.Resume(context.Background(), back, file) }()
	if l := <-resumed; !l.Resumed {
		t.Errorf("link %+v, want it resumed", l)
	}
	t.Cleanup(func() {
		_ = d.Close()
		if err := <-done; err != nil {
			t.Errorf("Resume: %v", err)
		}
	})
	return d
}

// TestHandoverUnderLoad moves a VM that never stops asking through a line of
// doors: each request gets its answer, and the connection is never lost.
func TestHandoverUnderLoad(t *testing.T) {
	node, qemu := unixPair(t)
	cfg := vm.Config{Handler: echo}
	d := vm.New(cfg)
	go func() { _ = d.ServeConn(context.Background(), node) }()
	g := vmtest.New(vmtest.Options{})
	t.Cleanup(g.Close)
	if err := g.Connect(qemu); err != nil {
		t.Fatal(err)
	}
	ask(t, g, ipmb.OK, 1)
	stop, asked := make(chan struct{}), make(chan int)
	go func() {
		n := 0
		defer func() { asked <- n }()
		for ; ; n++ {
			select {
			case <-stop:
				return
			default:
			}
			code, data, err := g.Do(context.Background(), ipmb.NetFnApp, 0, 1, []byte{byte(n)})
			if err != nil || code != ipmb.OK || len(data) != 2 || data[1] != byte(n) {
				t.Errorf("request %d: %v % x %v", n, code, data, err)
				return
			}
		}
	}()
	for i := range 20 {
		seq := g.Seq()
		if err := g.WaitFor(deadline(t), "requests", func(g *vmtest.Guest) bool { return g.Seq()-seq > 10 }); err != nil {
			t.Fatal(err)
		}
		d.SetAttention(i%2 == 0)
		d = handOver(t, deadline(t), d, cfg)
	}
	close(stop)
	t.Logf("%d requests over 20 handovers", <-asked)
	if n := g.Dropped(); n != 0 || !g.Connected() {
		t.Errorf("%d answers twice, connected %v", n, g.Connected())
	}
	count := 0
	for _, c := range g.Commands() {
		if c == vm.CommandVersion {
			count++
		}
	}
	if count != 1 {
		t.Errorf("the guest was greeted %d times", count)
	}
}

// TestHandoverInAnyByte cuts a request at each place: what came goes along.
func TestHandoverInAnyByte(t *testing.T) {
	frame := vm.AppendMessage(nil, vm.Message{Seq: 0xaa, NetFn: ipmb.NetFnApp, Cmd: 1, Data: []byte{0xa0, 7}})
	for cut := range len(frame) + 1 {
		node, qemu := unixPair(t)
		came := make(chan struct{})
		old := vm.New(vm.Config{Handler: echo, OnConnect: func(vm.Link) { close(came) }})
		go func() { _ = old.ServeConn(context.Background(), node) }()
		if _, err := qemu.Write(append([]byte("\xff\x01\xa1\x08\x3f\xa1"), frame[:cut]...)); err != nil {
			t.Fatal(err)
		}
		<-came
		handOver(t, deadline(t), old, vm.Config{Handler: echo})
		if _, err := qemu.Write(frame[cut:]); err != nil {
			t.Fatal(err)
		}
		w := &reader{t: t, conn: qemu}
		if m := w.message(); m.Seq != 0xaa || string(m.Data) != "\x00\x01\xa0\x07" {
			t.Errorf("cut at %d: %+v", cut, m)
		}
		_ = qemu.Close()
	}
}

// TestHandoverOfABusyRequest detaches from a handler that does not come to an
// end: the request is served by the next door, and only there answered.
func TestHandoverOfABusyRequest(t *testing.T) {
	node, qemu := unixPair(t)
	entered := make(chan struct{})
	old := vm.New(vm.Config{Handler: ipmb.HandlerFunc(func(ctx context.Context, _ *ipmb.Request) ipmb.Response {
		close(entered)
		<-ctx.Done()
		return ipmb.Response{Code: ipmb.ErrUnspecified}
	})})
	old.SetInterrupts(true)
	go func() { _ = old.ServeConn(context.Background(), node) }()
	g := vmtest.New(vmtest.Options{})
	t.Cleanup(g.Close)
	if err := g.Connect(qemu); err != nil {
		t.Fatal(err)
	}
	answered := make(chan ipmb.CompletionCode, 1)
	go func() {
		code, _, _ := g.Do(context.Background(), ipmb.NetFnApp, 0, 1, nil)
		answered <- code
	}()
	<-entered
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	d := handOver(t, ctx, old, vm.Config{Handler: echo})
	if code := <-answered; code != ipmb.OK {
		t.Errorf("answered %v", code)
	}
	d.SetAttention(true)
	if err := g.WaitFor(deadline(t), "interrupt", func(g *vmtest.Guest) bool { _, irq := g.Attention(); return irq }); err != nil {
		t.Error(err)
	}
	if n := g.Dropped(); n != 0 {
		t.Errorf("%d answers twice", n)
	}
}

// TestHandoverTooLate resumes with a request that the device has given up.
func TestHandoverTooLate(t *testing.T) {
	node, qemu := unixPair(t)
	file, err := node.(interface{ File() (*os.File, error) }).File()
	if err != nil {
		t.Fatal(err)
	}
	_ = node.Close()
	st := vm.State{Asked: true, Since: time.Now().Add(-5 * time.Second)}
	st.Input = vm.AppendMessage(nil, vm.Message{Seq: 1, NetFn: ipmb.NetFnApp, Cmd: 1})
	goOn(t, st, file, vm.Config{Handler: echo})
	if _, err := qemu.Write(vm.AppendMessage(nil, vm.Message{Seq: 2, NetFn: ipmb.NetFnApp, Cmd: 2})); err != nil {
		t.Fatal(err)
	}
	w := &reader{t: t, conn: qemu}
	if m := w.message(); m.Seq != 2 {
		t.Errorf("first answer has number %d", m.Seq)
	}
	_ = qemu.Close()
}

func TestDetachWithoutVM(t *testing.T) {
	d := vm.New(vm.Config{Handler: echo})
	d.SetAttention(true)
	st, file, err := d.Detach(t.Context())
	if err != nil || file != nil || !st.Attention {
		t.Errorf("%+v, %v, %v", st, file, err)
	}
	next := vm.New(vm.Config{Handler: echo})
	defer next.Close()
	if err := next.Resume(t.Context(), st, nil); err != nil {
		t.Error(err)
	}
}

// reader takes answers off a raw connection.
type reader struct {
	t    *testing.T
	conn interface{ Read([]byte) (int, error) }
	dec  vm.Decoder
	in   []byte
}

func (r *reader) message() vm.Message {
	r.t.Helper()
	for {
		var f vm.Frame
		if f, r.in = r.dec.Next(r.in); f.Kind == vm.FrameMessage {
			m, err := vm.ParseMessage(f.Body)
			if errors.Is(err, vm.ErrShort) {
				continue // QEMU ignores it: the connection begins with such
			}
			if err != nil {
				r.t.Fatal(err)
			}
			return m
		}
		if len(r.in) > 0 {
			continue
		}
		buf := make([]byte, 512)
		n, err := r.conn.Read(buf)
		if err != nil {
			r.t.Fatal(err)
		}
		r.in = buf[:n]
	}
}
