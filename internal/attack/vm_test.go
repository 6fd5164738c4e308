package attack

import (
	"bytes"
	"errors"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"runtime"
	"slices"
	"syscall"
	"testing"
	"time"

	"github.com/midplane-project/midplane/internal/logtest"
	"github.com/midplane-project/midplane/ipmb"
	"github.com/midplane-project/midplane/node"
	"github.com/midplane-project/midplane/node/vm"
	"github.com/midplane-project/midplane/node/vm/vmtest"
)

// raw opens the VM protocol's socket for whoever speaks it badly.
func (b *blade) raw(t *testing.T) net.Conn {
	t.Helper()
	conn, err := net.Dial("unix", b.vmSocket())
	if err != nil {
		t.Fatal(err)
	}
	return conn
}

// pour writes until the other side has enough, and hears what it says.
func pour(t *testing.T, conn net.Conn, text []byte) {
	t.Helper()
	heard := make(chan struct{})
	go func() {
		defer close(heard)
		_, _ = io.Copy(io.Discard, conn)
	}()
	for part := range slices.Chunk(text, 1<<16) { // each in time: how long all take the machine says
		_ = conn.SetWriteDeadline(time.Now().Add(patience))
		_, err := conn.Write(part)
		if err != nil && !errors.Is(err, syscall.EPIPE) && !errors.Is(err, syscall.ECONNRESET) {
			t.Errorf("a part of %d bytes: %v", len(text), err)
		}
		if err != nil {
			break
		}
	}
	_ = conn.Close()
	<-heard
}

// S13: whatever comes by the VM protocol's socket, the node lives, does what
// its guest and the LAN door ask, and its memory has a bound.
func TestAttackS13VMStream(t *testing.T) {
	log := new(logtest.Book) // in memory, too: a line for each bad frame is left out
	b := start(t, node.Config{Name: "lone"}, node.Options{Log: log.Logger(slog.LevelInfo)}, log)
	c := b.door.login(t)
	greeting := vm.AppendCommand(nil, vm.CommandVersion, vm.ProtocolVersion)
	request := vm.AppendMessage(nil, vm.Message{Seq: 1, NetFn: ipmb.NetFnApp, Cmd: 1})
	badSum := bytes.Clone(request)
	badSum[len(badSum)-2] ^= 1
	r := rand.New(rand.NewPCG(7, 13))
	noise := make([]byte, 1<<20)
	for i := range noise {
		noise[i] = byte(r.Uint32())
	}
	for name, text := range map[string][]byte{
		"nothing":                       nil,
		"escapes alone":                 bytes.Repeat([]byte{0xAA}, 10000),
		"an escape before each end":     bytes.Repeat([]byte{0xAA, 0xA0, 0xAA, 0xA1}, 10000),
		"escapes of what needs none":    bytes.Repeat([]byte{0xAA, 0x41, 0xAA, 0xFF}, 5000),
		"empty frames":                  bytes.Repeat([]byte{0xA0, 0xA1}, 10000),
		"a frame of 301 bytes":          append(bytes.Repeat([]byte{1}, 301), 0xA0),
		"a frame of a megabyte":         append(bytes.Repeat([]byte{1}, 1<<20), 0xA0),
		"bytes without an end":          bytes.Repeat([]byte{0x55}, 64<<20),
		"a wrong checksum":              bytes.Repeat(badSum, 1000),
		"a frame cut off":               request[:len(request)-2],
		"answers":                       bytes.Repeat(vm.AppendMessage(nil, vm.Message{Seq: 1, NetFn: 7, Cmd: 1, Data: []byte{0}}), 1000),
		"commands that are not":         bytes.Repeat([]byte{0x77, 1, 2, 0xA1}, 10000),
		"greetings":                     bytes.Repeat(greeting, 10000),
		"a version from the future":     vm.AppendCommand(nil, vm.CommandVersion, 0xFE),
		"all commands with all lengths": allCommands(),
		"requests without a pause":      bytes.Repeat(request, 20000),
		"noise":                         noise,
		"noise behind a greeting":       append(bytes.Clone(greeting), noise...),
	} {
		before := heap()
		pour(t, b.raw(t), text)
		if got := c.do(ipmb.NetFnApp, 1); got[0] != 0 {
			t.Errorf("%s: the LAN door: % x", name, got)
		}
		b.serves(t, name)
		if grown := heap() - before; grown > 8<<20 {
			t.Errorf("%s: %d bytes more", name, grown)
		}
	}
}

// allCommands are hardware commands of every number and many lengths.
func allCommands() (out []byte) {
	for code := range 256 {
		for n := range 8 {
			out = vm.AppendCommand(out, vm.Command(code), make([]byte, n)...)
		}
	}
	return out
}

// heap is what lives after a collection.
func heap() int64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// serves shows that a guest that comes now is answered.
func (b *blade) serves(t *testing.T, after string) {
	t.Helper()
	g := vmtest.New(vmtest.Options{})
	defer g.Close()
	if err := g.Dial(t.Context(), "unix", b.vmSocket()); err != nil {
		t.Fatalf("%s: %v", after, err)
	}
	if id, err := g.Probe(t.Context()); err != nil || len(id) != 15 {
		t.Errorf("after %s: % x, %v", after, id, err)
	}
}

// S13: connections that come and go without end, many at once, and that say
// nothing, keep no guest out; when they are gone nothing of them is left.
func TestAttackS13Reconnects(t *testing.T) {
	b := lone(t)
	eventually(t, "the guest is linked", func() bool { return b.Status().VmLink })
	for i := range 1000 {
		conn := b.raw(t)
		if i%3 == 1 {
			_, _ = conn.Write(vm.AppendCommand(nil, vm.CommandVersion, vm.ProtocolVersion))
		}
		if i%3 == 2 {
			_, _ = conn.Write(vm.AppendMessage(nil, vm.Message{Seq: byte(i), NetFn: ipmb.NetFnApp, Cmd: 1})[:4])
		}
		_ = conn.Close()
	}
	var silent []net.Conn
	for range 50 {
		silent = append(silent, b.raw(t))
	}
	b.serves(t, "1000 connections, in the midst of 50 that are silent")
	for _, conn := range silent {
		_ = conn.Close()
	}
	if links() == 0 {
		t.Error("links are not called so any more; this test sees none")
	}
	b.guest.Close()
	eventually(t, "what served the connections has ended", func() bool { return links() == 0 })
	eventually(t, "no VM is linked", func() bool { return !b.Status().VmLink })
}

// links counts the goroutines that serve connections of VMs.
func links() int {
	buf := make([]byte, 1<<20)
	return bytes.Count(buf[:runtime.Stack(buf, true)], []byte("node/vm.(*link)"))
}

// eventually waits for what nobody tells of.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(patience); !ok(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("not in time: %s", what)
		}
	}
}
