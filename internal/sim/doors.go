package sim

import (
	"net"
	"sync"
)

// doorway is where a node takes its VM's connections: a listener in memory.
type doorway struct {
	conns  chan net.Conn
	closed chan struct{}
	end    func()
}

func newDoorway() *doorway {
	d := &doorway{conns: make(chan net.Conn), closed: make(chan struct{})}
	d.end = sync.OnceFunc(func() { close(d.closed) })
	return d
}

// dial gives the VM's end of a new connection.
func (d *doorway) dial() (net.Conn, error) {
	vm, node := net.Pipe()
	select {
	case d.conns <- node:
		return vm, nil
	case <-d.closed:
		return nil, net.ErrClosed
	}
}

func (d *doorway) Accept() (net.Conn, error) {
	select {
	case c := <-d.conns:
		return c, nil
	case <-d.closed:
		return nil, net.ErrClosed
	}
}

func (d *doorway) Close() error { d.end(); return nil }

func (d *doorway) Addr() net.Addr { return doorAddr{} }

type doorAddr struct{}

func (doorAddr) Network() string { return "memory" }
func (doorAddr) String() string  { return "vm" }
