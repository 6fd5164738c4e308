package vm_test

import (
	"bytes"
	"context"
	"net"
	"testing"
	"testing/synctest"
	"time"

	"github.com/midplane-project/midplane/ipmb"
	"github.com/midplane-project/midplane/node/vm"
	"github.com/midplane-project/midplane/node/vm/vmtest"
)

// bubble runs f with a door in virtual time.
func bubble(t *testing.T, cfg vm.Config, f func(t *testing.T, d *vm.Door)) {
	synctest.Test(t, func(t *testing.T) {
		d := vm.New(cfg)
		f(t, d)
		if err := d.Close(); err != nil {
			t.Error(err)
		}
	})
}

// connect gives the guest a new connection to the door.
func connect(t *testing.T, d *vm.Door, g *vmtest.Guest) {
	t.Helper()
	node, qemu := net.Pipe()
	go func() { _ = d.ServeConn(context.Background(), node) }()
	if err := g.Connect(qemu); err != nil {
		t.Fatal(err)
	}
	synctest.Wait()
}

// sleepy takes as many tenths of a second as the request's first byte says.
var sleepy = ipmb.HandlerFunc(func(ctx context.Context, r *ipmb.Request) ipmb.Response {
	if len(r.Data) > 0 {
		time.Sleep(time.Duration(r.Data[0]) * 100 * time.Millisecond)
	}
	return echo(ctx, r)
})

func TestAnswersWithinFourSeconds(t *testing.T) {
	bubble(t, vm.Config{Handler: sleepy}, func(t *testing.T, d *vm.Door) {
		g := vmtest.New(vmtest.Options{})
		defer g.Close()
		connect(t, d, g)
		ask(t, g, ipmb.OK, 1, 39)
		ask(t, g, ipmb.ErrTimeout, 2, 60)
		ask(t, g, ipmb.OK, 3, 30) // while the handler of 2 still sleeps
		time.Sleep(10 * time.Second)
		if n := g.Dropped(); n != 0 {
			t.Errorf("%d answers that nobody waited for were sent", n)
		}
	})
}

// TestTwoLinksAskAtOnce: what one asks takes no answer from the other.
func TestTwoLinksAskAtOnce(t *testing.T) {
	bubble(t, vm.Config{Handler: sleepy}, func(t *testing.T, d *vm.Door) {
		first, second := vmtest.New(vmtest.Options{}), vmtest.New(vmtest.Options{Seq: 100})
		defer first.Close()
		defer second.Close()
		connect(t, d, first)
		connect(t, d, second)
		time.AfterFunc(time.Second, func() {
			if code, _, err := second.Do(t.Context(), ipmb.NetFnApp, 0, 2, nil); code != ipmb.OK || err != nil {
				t.Errorf("the second: %v, %v", code, err)
			}
		})
		ask(t, first, ipmb.OK, 1, 20)
		if n := first.Dropped() + second.Dropped(); n != 0 {
			t.Errorf("%d answers that nobody waited for were sent", n)
		}
	})
}

func TestTimeStandsStillWithTheVM(t *testing.T) {
	bubble(t, vm.Config{Handler: sleepy}, func(t *testing.T, d *vm.Door) {
		g := vmtest.New(vmtest.Options{Timeout: time.Hour}) // the virtual clock stands too
		defer g.Close()
		connect(t, d, g)
		time.AfterFunc(time.Second, func() { d.SetPaused(true) })
		time.AfterFunc(9*time.Second, func() { d.SetPaused(false) })
		ask(t, g, ipmb.OK, 1, 110) // 11 s, of which the VM lives 3
	})
}

func TestContextEndsWhenNobodyWaits(t *testing.T) {
	ended := make(chan error, 2)
	cfg := vm.Config{Handler: ipmb.HandlerFunc(func(ctx context.Context, r *ipmb.Request) ipmb.Response {
		if r.Cmd == 1 {
			<-ctx.Done()
			ended <- ctx.Err()
		}
		return ipmb.Response{}
	})}
	bubble(t, cfg, func(t *testing.T, d *vm.Door) {
		g := vmtest.New(vmtest.Options{})
		defer g.Close()
		connect(t, d, g)
		ask(t, g, ipmb.ErrTimeout, 1)
		synctest.Wait()
		if err := <-ended; err != context.DeadlineExceeded {
			t.Errorf("after the timeout: %v", err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, _, err := g.Do(ctx, ipmb.NetFnApp, 0, 1, nil); err == nil {
			t.Fatal("answered")
		}
		ask(t, g, ipmb.OK, 2) // as SSIF does, without waiting for the first
		if err := <-ended; err != context.Canceled {
			t.Errorf("after a newer request: %v", err)
		}
	})
}

func TestHandlersThatNobodyWaitsForAreBounded(t *testing.T) {
	release := make(chan struct{})
	cfg := vm.Config{Handler: ipmb.HandlerFunc(func(_ context.Context, r *ipmb.Request) ipmb.Response {
		<-release // deaf to its context
		return ipmb.Response{}
	})}
	synctest.Test(t, func(t *testing.T) {
		release = make(chan struct{})
		d := vm.New(cfg)
		g := vmtest.New(vmtest.Options{})
		connect(t, d, g)
		for range 8 {
			ask(t, g, ipmb.ErrTimeout, 1)
		}
		ask(t, g, ipmb.ErrBusy, 1)
		close(release)
		synctest.Wait()
		ask(t, g, ipmb.OK, 1)
		g.Close()
		_ = d.Close()
	})
}

func TestCommandsDoNotWaitForASlowHandler(t *testing.T) {
	var d *vm.Door
	cfg := vm.Config{Handler: ipmb.HandlerFunc(func(context.Context, *ipmb.Request) ipmb.Response {
		d.SetAttention(true)
		time.Sleep(2 * time.Second)
		return ipmb.Response{}
	})}
	bubble(t, cfg, func(t *testing.T, door *vm.Door) {
		d = door
		g := vmtest.New(vmtest.Options{})
		defer g.Close()
		connect(t, d, g)
		time.AfterFunc(time.Second, func() {
			if up, _ := g.Attention(); !up {
				t.Error("no attention while the handler works")
			}
		})
		ask(t, g, ipmb.OK, 1)
	})
}

// kicked counts the answers that a guest got in d without asking.
func kicked(t *testing.T, g *vmtest.Guest, d time.Duration) int {
	t.Helper()
	before := g.Dropped()
	time.Sleep(d)
	synctest.Wait()
	return g.Dropped() - before
}

func TestKickWithoutKnowledge(t *testing.T) {
	bubble(t, vm.Config{Handler: echo}, func(t *testing.T, d *vm.Door) {
		g := vmtest.New(vmtest.Options{})
		defer g.Close()
		connect(t, d, g)
		if n := kicked(t, g, 5*time.Second); n != 0 {
			t.Errorf("%d kicks within 5 s", n)
		}
		if n := kicked(t, g, 5*time.Second); n != 256 {
			t.Errorf("%d kicks after 6 s, want every number", n)
		}
		if n := kicked(t, g, time.Minute); n != 0 {
			t.Errorf("%d kicks later", n)
		}
	})
}

func TestNoKickForWhoAsks(t *testing.T) {
	bubble(t, vm.Config{Handler: echo}, func(t *testing.T, d *vm.Door) {
		g := vmtest.New(vmtest.Options{})
		defer g.Close()
		connect(t, d, g)
		ask(t, g, ipmb.OK, 1)
		if n := kicked(t, g, time.Minute); n != 0 {
			t.Errorf("%d kicks", n)
		}
	})
}

func TestKickWaitsForThePausedVM(t *testing.T) {
	bubble(t, vm.Config{Handler: echo}, func(t *testing.T, d *vm.Door) {
		g := vmtest.New(vmtest.Options{})
		defer g.Close()
		d.SetPaused(true)
		connect(t, d, g)
		if n := kicked(t, g, time.Minute); n != 0 {
			t.Errorf("%d kicks while paused", n)
		}
		d.SetPaused(false)
		if n := kicked(t, g, 10*time.Second); n != 256 {
			t.Errorf("%d kicks after the pause", n)
		}
	})
}

// TestKickAsEachKindOfRequest: the successor of a door that was killed revives a
// BT guest, whose driver waits for an answer to its very command.
func TestKickAsEachKindOfRequest(t *testing.T) {
	memory := make([]byte, vm.MemorySize)
	bubble(t, vm.Config{Handler: echo, Memory: memory}, func(t *testing.T, d *vm.Door) {
		g := vmtest.New(vmtest.Options{})
		defer g.Close()
		connect(t, d, g)
		for _, cmd := range []ipmb.Cmd{1, 2, 1, 3, 3, 3} {
			if code, _, err := g.Do(t.Context(), ipmb.NetFnStorage, 2, cmd, nil); code != ipmb.OK || err != nil {
				t.Fatal(code, err)
			}
		}
	})
	for kind, want := range map[vm.Interface]string{vm.KCS: "3", vm.BT: "312"} {
		bubble(t, vm.Config{Handler: echo, Memory: memory, Interface: kind}, func(t *testing.T, d *vm.Door) {
			node, qemu := net.Pipe()
			go func() { _ = d.ServeConn(context.Background(), node) }()
			var as string
			for i, m := range messages(t, qemu, time.Minute) {
				if m.NetFn != ipmb.NetFnStorage.Response() || m.LUN != 2 || m.Data[0] != byte(ipmb.ErrInitialising) {
					t.Fatalf("%v: answer %+v", kind, m)
				}
				if want := uint8(255 - i%256); m.Seq != want {
					t.Fatalf("%v: answer %d has number %d, want %d", kind, i, m.Seq, want)
				}
				if i%256 == 0 {
					as += string('0' + rune(m.Cmd))
				}
			}
			if as != want {
				t.Errorf("%v: kicked as commands %s, want %s", kind, as, want)
			}
		})
	}
}

// TestMemoryForgetsTheRarest, and holds no more than it can.
func TestMemoryForgetsTheRarest(t *testing.T) {
	memory := make([]byte, vm.MemorySize)
	bubble(t, vm.Config{Handler: echo, Memory: memory}, func(t *testing.T, d *vm.Door) {
		g := vmtest.New(vmtest.Options{})
		defer g.Close()
		connect(t, d, g)
		for i := range 300 {
			ask(t, g, ipmb.OK, ipmb.Cmd(i))
			ask(t, g, ipmb.OK, 0xEE)
		}
	})
	if n := int(memory[0]); 2*n+1 != vm.MemorySize || memory[2] != 0xEE || memory[2*n] != 299-256 {
		t.Errorf("remembered: % x", memory)
	}
}

func TestReconnectRepeatsTheAnswerThenKicksOnce(t *testing.T) {
	bubble(t, vm.Config{Handler: echo}, func(t *testing.T, d *vm.Door) {
		g := vmtest.New(vmtest.Options{Seq: 41})
		defer g.Close()
		connect(t, d, g)
		ask(t, g, ipmb.OK, 1)
		g.Disconnect()
		synctest.Wait()
		node, qemu := net.Pipe()
		go func() { _ = d.ServeConn(context.Background(), node) }()
		seqs := answers(t, qemu, time.Minute)
		if len(seqs) != 2 || seqs[0] != 41 || seqs[1] != 42 {
			t.Errorf("unasked answers %v, want 41 again and a kick with 42", seqs)
		}
	})
}

// answers greets and gives the numbers of all answers that come within d.
func answers(t *testing.T, conn net.Conn, d time.Duration) (seqs []uint8) {
	t.Helper()
	for _, m := range messages(t, conn, d) {
		seqs = append(seqs, m.Seq)
	}
	return seqs
}

// messages greets and gives all messages that come within d.
func messages(t *testing.T, conn net.Conn, d time.Duration) (all []vm.Message) {
	t.Helper()
	if _, err := conn.Write([]byte("\xff\x01\xa1\x08\x3f\xa1")); err != nil {
		t.Fatal(err)
	}
	time.AfterFunc(d, func() { _ = conn.Close() })
	var dec vm.Decoder
	buf := make([]byte, 4096)
	for {
		n, err := conn.Read(buf)
		for in := buf[:n]; len(in) > 0; {
			var f vm.Frame
			if f, in = dec.Next(in); f.Kind != vm.FrameMessage {
				continue
			}
			if m, err := vm.ParseMessage(f.Body); err == nil {
				m.Data = bytes.Clone(m.Data)
				all = append(all, m)
			}
		}
		if err != nil {
			return all
		}
	}
}

func TestAnswerFollowsTheVMToItsNewLink(t *testing.T) {
	bubble(t, vm.Config{Handler: sleepy}, func(t *testing.T, d *vm.Door) {
		source := vmtest.New(vmtest.Options{Seq: 9})
		connect(t, d, source)
		time.AfterFunc(time.Second, func() {
			source.Disconnect()
			node, qemu := net.Pipe()
			go func() { _ = d.ServeConn(context.Background(), node) }()
			if seqs := answers(t, qemu, 4*time.Second); len(seqs) != 1 || seqs[0] != 9 {
				t.Errorf("answers on the new link %v, want 9", seqs)
			}
		})
		ask(t, source, ipmb.ErrInitialising, 1, 20)
		time.Sleep(10 * time.Second)
		source.Close()
	})
}

// TestPeersThatDoNotRead are given up, and hold up nobody for long.
func TestPeersThatDoNotRead(t *testing.T) {
	bubble(t, vm.Config{Handler: echo}, func(t *testing.T, d *vm.Door) {
		node, qemu := net.Pipe()
		served := make(chan error)
		go func() { served <- d.ServeConn(context.Background(), node) }()
		if _, err := qemu.Write([]byte("\xff\x01\xa1\x08\x3f\xa1")); err != nil {
			t.Fatal(err)
		}
		synctest.Wait() // the door is about to write its state
		began := time.Now()
		for i := range 1000 {
			d.SetAttention(i%2 == 0)
		}
		if took := time.Since(began); took != 0 {
			t.Errorf("attention waited %v for the peer", took)
		}
		<-served
		if took := time.Since(began); took > 11*time.Second {
			t.Errorf("given up after %v", took)
		}
	})
}

func TestQueueForASilentPeerIsBounded(t *testing.T) {
	bubble(t, vm.Config{Handler: echo}, func(t *testing.T, d *vm.Door) {
		node, qemu := net.Pipe()
		served := make(chan error)
		go func() { served <- d.ServeConn(context.Background(), node) }()
		if _, err := qemu.Write([]byte("\xff\x01\xa1\x08\x3f\xa1")); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		began := time.Now()
		for i := range 50_000 {
			d.SetAttention(i%2 == 0)
		}
		<-served
		if took := time.Since(began); took != 0 {
			t.Errorf("given up after %v, not at once", took)
		}
	})
}
