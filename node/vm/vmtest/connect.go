package vmtest

import (
	"context"
	"fmt"
	"net"
	"time"

	"github.com/midplane-project/midplane/ipmb"
	"github.com/midplane-project/midplane/node/vm"
)

// Connect gives the guest a connection, in place of one that it may have, and
// greets on it. The guest owns conn.
func (g *Guest) Connect(conn net.Conn) error {
	g.mu.Lock()
	old := g.conn
	g.conn = conn
	g.mu.Unlock()
	if old != nil {
		_ = old.Close()
	}
	g.wg.Go(func() { g.read(conn) })
	hello := vm.AppendCommand(nil, vm.CommandVersion, vm.ProtocolVersion)
	hello = vm.AppendCommand(hello, vm.CommandCapabilities, byte(g.opt.Capabilities))
	if _, err := conn.Write(hello); err != nil {
		return fmt.Errorf("vmtest: greet: %w", err)
	}
	return nil
}

// Dial connects as QEMU's client chardev: it tries until it succeeds or ctx ends.
func (g *Guest) Dial(ctx context.Context, network, addr string) error {
	for {
		conn, err := new(net.Dialer).DialContext(ctx, network, addr)
		if err == nil {
			return g.Connect(conn)
		}
		select {
		case <-time.After(redial):
		case <-g.closed:
			return ErrClosed
		case <-ctx.Done():
			return fmt.Errorf("vmtest: %w", err)
		}
	}
}

// Listen takes connections from ln as QEMU's server chardev, one at a time,
// until the guest is closed. It closes ln.
func (g *Guest) Listen(ln net.Listener) {
	g.wg.Go(func() {
		<-g.closed
		_ = ln.Close()
	})
	g.wg.Go(func() {
		for {
			conn, err := ln.Accept()
			if err != nil {
				return
			}
			if g.Connect(conn) == nil {
				_ = g.WaitFor(context.Background(), "the end of the connection", func(g *Guest) bool { return !g.has(conn) })
			}
		}
	})
}

// Disconnect drops the connection, as a QEMU that dies.
func (g *Guest) Disconnect() {
	g.mu.Lock()
	conn := g.conn
	g.mu.Unlock()
	if conn != nil {
		g.lost(conn)
	}
}

// Close ends the guest and waits for all that it runs.
func (g *Guest) Close() {
	g.closeAll()
	g.Disconnect()
	g.wg.Wait()
}

func (g *Guest) has(conn net.Conn) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.conn == conn
}

// read hears what the node says until the connection ends.
func (g *Guest) read(conn net.Conn) {
	defer g.lost(conn)
	var d vm.Decoder
	buf := make([]byte, 4096)
	for {
		n, err := conn.Read(buf)
		for in := buf[:n]; len(in) > 0; {
			var f vm.Frame
			f, in = d.Next(in)
			g.hear(f)
		}
		if err != nil {
			return
		}
	}
}

func (g *Guest) hear(f vm.Frame) {
	g.mu.Lock()
	defer g.mu.Unlock()
	switch f.Kind {
	case vm.FrameCommand:
		g.obey(vm.Command(f.Body[0]))
	case vm.FrameMessage:
		if m, err := vm.ParseMessage(f.Body); err == nil && len(m.Data) > 0 {
			g.answered(m)
		}
	default:
		return
	}
	g.tell()
}

func (g *Guest) obey(c vm.Command) {
	g.commands = append(g.commands, c)
	switch c {
	case vm.CommandNoAttention, vm.CommandAttention, vm.CommandAttentionIRQ:
		g.atn = c
	case vm.CommandEnableIRQ, vm.CommandDisableIRQ:
		g.irq = c == vm.CommandEnableIRQ
	}
}

// answered takes an answer. As in QEMU, even one with a wrong number stops the
// timeout of the request that waits.
func (g *Guest) answered(m vm.Message) {
	p := g.waiting
	if p != nil {
		p.timer.Stop()
	}
	if p == nil || m.Seq != g.seq {
		g.dropped++
		return
	}
	data := append([]byte(nil), m.Data...)
	g.settle(p, ipmb.Response{Code: ipmb.CompletionCode(data[0]), Data: data[1:]})
}

// tell wakes those who wait for a change.
func (g *Guest) tell() {
	close(g.changed)
	g.changed = make(chan struct{})
}

// lost takes a connection out of use: the line falls, and the request that
// waits is answered D2h.
func (g *Guest) lost(conn net.Conn) {
	_ = conn.Close()
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.conn != conn {
		return
	}
	g.conn, g.atn = nil, vm.CommandNoAttention
	if g.waiting != nil {
		g.tellItself(g.waiting, ipmb.ErrInitialising)
	}
	g.tell()
}
