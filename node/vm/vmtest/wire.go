package vmtest

import (
	"fmt"
	"net"

	"github.com/midplane-project/midplane/ipmb"
	"github.com/midplane-project/midplane/node/vm"
)

// Wire is a connection on which one goroutine asks and waits: the smallest
// client that the protocol permits, for measuring what is at the other end.
// It runs nothing in the background and allocates nothing per request.
type Wire struct {
	// OnCommand, if set, sees hardware commands that come before an answer.
	OnCommand func(vm.Command)

	conn net.Conn
	dec  vm.Decoder
	buf  []byte
	in   []byte
	out  []byte
	seq  uint8
}

// NewWire makes a Wire on conn. The caller closes conn.
func NewWire(conn net.Conn) *Wire { return &Wire{conn: conn, buf: make([]byte, 4096)} }

// Greet says what QEMU says on every connection.
func (w *Wire) Greet() error {
	b := vm.AppendCommand(w.out[:0], vm.CommandVersion, vm.ProtocolVersion)
	b = vm.AppendCommand(b, vm.CommandCapabilities, byte(vm.CapAll))
	_, err := w.conn.Write(b)
	return err
}

// Exchange asks for one command and waits for its answer, whose data is valid
// until the next call.
func (w *Wire) Exchange(n ipmb.NetFn, lun ipmb.LUN, cmd ipmb.Cmd, data []byte) (ipmb.Response, error) {
	w.seq++
	w.out = vm.AppendMessage(w.out[:0], vm.Message{Seq: w.seq, NetFn: n, LUN: lun, Cmd: cmd, Data: data})
	if _, err := w.conn.Write(w.out); err != nil {
		return ipmb.Response{}, fmt.Errorf("vmtest: ask: %w", err)
	}
	for {
		f, err := w.next()
		if err != nil {
			return ipmb.Response{}, err
		}
		if m, ok := w.message(f); ok && m.Seq == w.seq {
			return ipmb.Response{Code: ipmb.CompletionCode(m.Data[0]), Data: m.Data[1:]}, nil
		}
	}
}

// WaitCommand reads until hardware command c has come.
func (w *Wire) WaitCommand(c vm.Command) error {
	for {
		f, err := w.next()
		if err != nil {
			return err
		}
		w.message(f)
		if f.Kind == vm.FrameCommand && vm.Command(f.Body[0]) == c {
			return nil
		}
	}
}

// next gives the next frame.
func (w *Wire) next() (vm.Frame, error) {
	for {
		if len(w.in) > 0 {
			var f vm.Frame
			if f, w.in = w.dec.Next(w.in); f.Kind != vm.FrameNone {
				return f, nil
			}
		}
		n, err := w.conn.Read(w.buf)
		if w.in = w.buf[:n]; n == 0 && err != nil {
			return vm.Frame{}, fmt.Errorf("vmtest: wait for an answer: %w", err)
		}
	}
}

// message reads an answer; a hardware command goes to OnCommand.
func (w *Wire) message(f vm.Frame) (vm.Message, bool) {
	switch f.Kind {
	case vm.FrameCommand:
		if w.OnCommand != nil {
			w.OnCommand(vm.Command(f.Body[0]))
		}
	case vm.FrameMessage:
		m, err := vm.ParseMessage(f.Body)
		return m, err == nil && len(m.Data) > 0
	}
	return vm.Message{}, false
}
