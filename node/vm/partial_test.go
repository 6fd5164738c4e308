package vm_test

import (
	"context"
	"net"
	"testing"
	"time"

	"github.com/midplane-project/midplane/node/vm"
)

// QEMU keeps what it had received of a message when its connection breaks. What
// the next connection begins with must not make a hardware command of it: a
// node killed in the middle of an answer with number 04h would reset the VM.
func TestRestOfABrokenMessageIsNoCommand(t *testing.T) {
	whole := vm.AppendMessage(nil, vm.Message{Seq: byte(vm.CommandReset), NetFn: 7, Cmd: 1, Data: []byte{0, 0xA0, 0xAA}})
	for cut := range len(whole) {
		bubble(t, vm.Config{Handler: echo}, func(t *testing.T, d *vm.Door) {
			var dec vm.Decoder // as QEMU's receiver, it outlives connections
			for in := whole[:cut]; len(in) > 0; {
				_, in = dec.Next(in)
			}
			for _, c := range commands(t, d, &dec) {
				switch c {
				case vm.CommandVersion, vm.CommandEnableIRQ, vm.CommandDisableIRQ, vm.CommandNoAttention:
				default:
					t.Errorf("after %d bytes of a message: %v", cut, c)
				}
			}
		})
	}
}

// commands connects a VM and gives the hardware commands that it understands in
// the first second.
func commands(t *testing.T, d *vm.Door, dec *vm.Decoder) (got []vm.Command) {
	t.Helper()
	node, qemu := net.Pipe()
	go func() { _ = d.ServeConn(context.Background(), node) }()
	if _, err := qemu.Write([]byte("\xff\x01\xa1\x08\x3f\xa1")); err != nil {
		t.Fatal(err)
	}
	time.AfterFunc(time.Second, func() { _ = qemu.Close() })
	buf := make([]byte, 4096)
	for {
		n, err := qemu.Read(buf)
		for in := buf[:n]; len(in) > 0; {
			var f vm.Frame
			if f, in = dec.Next(in); f.Kind == vm.FrameCommand && len(f.Body) > 0 {
				got = append(got, vm.Command(f.Body[0]))
			}
		}
		if err != nil {
			return got
		}
	}
}
