package main

import (
	"errors"
	"fmt"
	"time"

	"github.com/midplane-project/midplane/ipmb"
	"github.com/midplane-project/midplane/node/vm"
)

// guest is a fake guest: a client of the VM protocol that does no more than it
// must, the same for every side that is measured.
type guest struct {
	s       *socket
	decoder vm.Decoder
	buf     [4096]byte
	in      []byte // received, not yet decoded
	out     []byte
	data    [300]byte
	seq     uint8
	waiting bool // the attention line is up
}

// Enables that Linux sets: receive queue interrupt and SEL.
const guestEnables = 0x09

// connect greets as QEMU does and enables interrupts as Linux does.
func connect(addr string) (*guest, error) {
	s, err := dial(addr)
	if err != nil {
		return nil, err
	}
	g := &guest{s: s}
	hello := vm.AppendCommand(nil, vm.CommandVersion, vm.ProtocolVersion)
	hello = vm.AppendCommand(hello, vm.CommandCapabilities, 0x3F)
	if err := s.write(hello); err != nil {
		g.close()
		return nil, err
	}
	if _, err := g.do(ipmb.NetFnApp, ipmb.CmdSetGlobalEnables, []byte{guestEnables}); err != nil {
		g.close()
		return nil, fmt.Errorf("set global enables: %w", err)
	}
	return g, nil
}

func (g *guest) close() { g.s.close() }

// next gives the next message of the BMC, and follows the attention line.
func (g *guest) next() (vm.Message, error) {
	for {
		for len(g.in) > 0 {
			var f vm.Frame
			f, g.in = g.decoder.Next(g.in)
			switch f.Kind {
			case vm.FrameMessage:
				if m, err := vm.ParseMessage(f.Body); err == nil {
					return m, nil
				} // else it is passed over, as by QEMU
			case vm.FrameCommand:
				g.line(vm.Command(f.Body[0]))
			case vm.FrameBad:
				return vm.Message{}, f.Err
			}
		}
		if err := g.receive(); err != nil {
			return vm.Message{}, err
		}
	}
}

func (g *guest) receive() error {
	n, err := g.s.read(g.buf[:])
	g.in = g.buf[:n]
	return err
}

func (g *guest) line(c vm.Command) {
	switch c {
	case vm.CommandAttention, vm.CommandAttentionIRQ:
		g.waiting = true
	case vm.CommandNoAttention:
		g.waiting = false
	}
}

// do sends a request and gives the data of its response, after the completion
// code. The data is valid until the next call.
func (g *guest) do(netFn ipmb.NetFn, cmd ipmb.Cmd, data []byte) ([]byte, error) {
	g.seq++
	g.out = vm.AppendMessage(g.out[:0], vm.Message{Seq: g.seq, NetFn: netFn, Cmd: cmd, Data: data})
	if err := g.s.write(g.out); err != nil {
		return nil, err
	}
	for {
		m, err := g.next()
		switch {
		case err != nil:
			return nil, err
		case m.Seq != g.seq:
			continue
		case len(m.Data) == 0:
			return nil, errors.New("a response without completion code")
		case m.Data[0] != 0:
			return nil, ipmb.CompletionCode(m.Data[0])
		}
		return g.data[:copy(g.data[:], m.Data[1:])], nil
	}
}

// deviceID is one local round trip.
func (g *guest) deviceID() error {
	_, err := g.do(ipmb.NetFnApp, ipmb.CmdGetDeviceID, nil)
	return err
}

// send gives a request for another controller to the local one.
func (g *guest) send(to ipmb.Addr, seq uint8, netFn ipmb.NetFn, cmd ipmb.Cmd, data []byte) error {
	f := ipmb.RequestFrame(to, ipmb.AddrShelfManager, ipmb.LUNSMS, seq, &ipmb.Request{NetFn: netFn, Cmd: cmd, Data: data})
	raw, err := f.AppendBinary([]byte{ipmb.ChannelIPMB})
	if err != nil {
		return err
	}
	_, err = g.do(ipmb.NetFnApp, ipmb.CmdSendMessage, raw)
	return err
}

// attend waits until the attention line is up.
func (g *guest) attend() error {
	for g.drain(); !g.waiting; g.drain() {
		if err := g.receive(); err != nil {
			return err
		}
	}
	return nil
}

// drain takes in what was received while no response is expected.
func (g *guest) drain() {
	for len(g.in) > 0 {
		var f vm.Frame
		if f, g.in = g.decoder.Next(g.in); f.Kind == vm.FrameCommand {
			g.line(vm.Command(f.Body[0]))
		}
	}
}

// fetched is a message out of the receive queue.
type fetched struct {
	seq  uint8
	code ipmb.CompletionCode
}

// fetch takes one message out of the receive queue: channel, netFn/LUN,
// checksum, source, sequence/LUN, command, completion code, …
func (g *guest) fetch() (fetched, error) {
	m, err := g.do(ipmb.NetFnApp, ipmb.CmdGetMessage, nil)
	if err != nil {
		return fetched{}, err
	}
	const header = 7
	if len(m) < header {
		return fetched{}, fmt.Errorf("a message of %d bytes in the queue", len(m))
	}
	return fetched{seq: m[4] >> 2, code: ipmb.CompletionCode(m[6])}, nil
}

// bridged is a whole bridged request as a driver makes it: Send Message,
// attention, Get Message Flags, Get Message.
func (g *guest) bridged(to ipmb.Addr) error {
	seq := g.seq % ipmb.MaxSequence
	if err := g.send(to, seq, ipmb.NetFnApp, ipmb.CmdGetDeviceID, nil); err != nil {
		return fmt.Errorf("send message: %w", err)
	}
	if err := g.attend(); err != nil {
		return fmt.Errorf("attention: %w", err)
	}
	if _, err := g.do(ipmb.NetFnApp, ipmb.CmdGetMessageFlags, nil); err != nil {
		return fmt.Errorf("get message flags: %w", err)
	}
	m, err := g.fetch()
	switch {
	case err != nil:
		return fmt.Errorf("get message: %w", err)
	case m.seq != seq:
		return fmt.Errorf("answer number %d to request number %d", m.seq, seq)
	case m.code != 0:
		return m.code
	}
	return nil
}

// timed makes n round trips and tells how long each took.
func timed(n int, do func() error) (sample, error) {
	s := make(sample, n)
	for i := range s {
		began := time.Now()
		if err := do(); err != nil {
			return nil, fmt.Errorf("request %d: %w", i+1, err)
		}
		s[i] = time.Since(began)
	}
	return s, nil
}
