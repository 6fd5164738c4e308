package rmcp

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"time"
)

const (
	// maxReaders are at one socket, each with a processor of its own at best.
	maxReaders = 4
	// reliefAfter is how long a datagram may keep its reader before another one
	// reads on. What comes from memory takes a tenth of it.
	reliefAfter = 500 * time.Microsecond
)

// read takes datagrams and answers them itself, for most answers are there
// sooner than another goroutine would be. When one is not, somebody else reads
// on, and this reader ends with it.
func (d *Door) read(ctx context.Context, closed context.CancelCauseFunc) {
	relieved := make(chan struct{}, 1)
	relief := time.AfterFunc(reliefAfter, func() {
		d.group.Go(func() { d.read(ctx, closed) })
		relieved <- struct{}{}
	})
	relief.Stop()
	buf := make([]byte, maxDatagram+1)
	for {
		n, from, err := d.receive(buf)
		switch {
		case ctx.Err() != nil:
			return
		case errors.Is(err, net.ErrClosed):
			closed(err)
			return
		case err != nil: // such as an ICMP message of an earlier answer's
			continue
		}
		relief.Reset(reliefAfter)
		d.take(ctx, buf[:n], from)
		if !relief.Stop() {
			<-relieved
			return
		}
	}
}

// receive reads a datagram, from a socket of the system's without an
// allocation. One that came by something else has no address.
func (d *Door) receive(buf []byte) (int, netip.AddrPort, error) {
	if d.udp != nil {
		return d.udp.ReadFromUDPAddrPort(buf)
	}
	n, from, err := d.conn.ReadFrom(buf)
	if a, ok := from.(*net.UDPAddr); ok {
		return n, a.AddrPort(), err
	}
	return 0, netip.AddrPort{}, err
}

func (d *Door) write(b []byte, to netip.AddrPort) (err error) {
	if d.udp != nil {
		_, err = d.udp.WriteToUDPAddrPort(b, to)
	} else {
		_, err = d.conn.WriteTo(b, net.UDPAddrFromAddrPort(to))
	}
	return err
}
