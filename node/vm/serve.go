package vm

import (
	"context"
	"fmt"
	"net"
	"slices"
	"sync"
	"time"

	"github.com/midplane-project/midplane/internal/port"
)

const (
	maxLinks     = 8 // connections at once; a VM needs one, a migration two
	redialFirst  = 20 * time.Millisecond
	redialMost   = 500 * time.Millisecond
	answerGrace  = 500 * time.Millisecond // for the request under way when a link is to end
	farewellTime = 2 * time.Second        // for the peer to close after our half
)

// Serve accepts VMs on ln (QEMU's chardev is the client) until ctx or the door
// ends, closes ln and waits for the connections. It returns nil then, and an
// error when ln fails. Connections that say nothing are harmless.
func (d *Door) Serve(ctx context.Context, ln net.Listener) error {
	ctx, cancel := d.untilEnd(ctx)
	defer cancel()
	stop := context.AfterFunc(ctx, func() { _ = ln.Close() })
	defer stop()
	var conns sync.WaitGroup
	defer conns.Wait()
	for {
		conn, err := port.Accept(ctx, ln)
		switch {
		case ctx.Err() != nil:
			if conn != nil {
				_ = conn.Close()
			}
			return nil
		case err != nil:
			cancel()
			return fmt.Errorf("vm: accept: %w", err)
		}
		l, err := d.open(conn) // in order of arrival: see admit
		if err != nil {
			d.log.Warn("connection refused", "err", err)
			continue
		}
		conns.Go(func() { d.run(ctx, l) })
	}
}

// Dial keeps a connection to a VM that listens (QEMU's chardev is the server):
// it dials again whenever there is none. It returns nil when ctx or the door ends.
func (d *Door) Dial(ctx context.Context, network, addr string) error {
	ctx, cancel := d.untilEnd(ctx)
	defer cancel()
	wait := redialFirst
	for {
		conn, err := new(net.Dialer).DialContext(ctx, network, addr)
		if err == nil {
			wait = redialFirst
			_ = d.ServeConn(ctx, conn)
		}
		if !pause(ctx, wait) {
			return nil
		}
		wait = min(2*wait, redialMost)
	}
}

// ServeConn serves one connection until it is lost (nil), or ctx or the door
// ends (nil). A link that we end goes in a way that loses no request of the
// guest: the request under way is answered, then our half is closed, and what
// the VM still sends is read until it closes too. The door owns conn.
func (d *Door) ServeConn(ctx context.Context, conn net.Conn) error {
	l, err := d.open(conn)
	if err != nil {
		return err
	}
	d.run(ctx, l)
	return nil
}

// open takes a connection in, or closes it.
func (d *Door) open(conn net.Conn) (*link, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	l := newLink(d, conn)
	if err := d.admit(l); err != nil {
		_ = conn.Close()
		return nil, err
	}
	return l, nil
}

// run reads an admitted link until its end.
func (d *Door) run(ctx context.Context, l *link) {
	defer d.conns.Done()
	d.wg.Go(l.read)
	select {
	case <-l.done:
	case <-ctx.Done():
		d.farewell(l)
	case <-d.base.Done():
		d.farewell(l)
	}
	<-l.done
	d.remove(l)
}

// admit takes a link in. When there are too many, the oldest that has not
// greeted makes room: it is a probe or a stranger. The caller holds d.mu.
func (d *Door) admit(l *link) error {
	if d.leaving || d.base.Err() != nil {
		return ErrClosed
	}
	if len(d.links) >= maxLinks {
		i := slices.IndexFunc(d.links, func(o *link) bool { return !o.up })
		if i < 0 {
			return fmt.Errorf("vm: %d VMs are connected already", len(d.links))
		}
		_ = d.links[i].conn.Close()
		d.links = slices.Delete(d.links, i, i+1)
	}
	d.conns.Add(1)
	d.lastID++
	l.info.ID = d.lastID
	d.links = append(d.links, l)
	return nil
}

// remove forgets a link that has ended; one that was handed over stays open.
func (d *Door) remove(l *link) {
	d.mu.Lock()
	d.links = slices.DeleteFunc(d.links, func(o *link) bool { return o == l })
	d.demote(l)
	kept := l.handing && !l.dead
	d.mu.Unlock()
	if !l.handing { // else Detach closes it
		_ = l.conn.Close()
	}
	if !kept && l.announced && d.cfg.OnDisconnect != nil {
		d.cfg.OnDisconnect(l.info)
	}
}

// farewell ends a link from our side.
func (d *Door) farewell(l *link) {
	d.mu.Lock()
	if l.handing {
		d.mu.Unlock()
		return
	}
	grace, cancel := context.WithTimeout(context.Background(), answerGrace)
	defer cancel()
	d.await(grace, func() bool { return l.dead || (!l.owes() && !l.writing) })
	l.draining = true
	if l.turn != nil {
		l.turn.ctx.end(context.Canceled)
	}
	d.demote(l)
	d.mu.Unlock()
	half, ok := l.conn.(interface{ CloseWrite() error })
	if !ok || half.CloseWrite() != nil {
		_ = l.conn.Close()
		return
	}
	_ = l.conn.SetReadDeadline(time.Now().Add(farewellTime))
}

// owes reports whether a request that came by l is still to be answered.
func (l *link) owes() bool {
	return l.turn != nil || l.newest != nil
}

// await waits until ok or the end of ctx. The caller holds d.mu, under which ok is asked.
func (d *Door) await(ctx context.Context, ok func() bool) {
	stop := context.AfterFunc(ctx, func() {
		d.mu.Lock()
		defer d.mu.Unlock()
		d.notify()
	})
	defer stop()
	d.waiting++
	defer func() { d.waiting-- }()
	for !ok() && ctx.Err() == nil {
		d.changed.Wait()
	}
}

// pause waits, and reports false when ctx ended first.
func pause(ctx context.Context, t time.Duration) bool {
	timer := time.NewTimer(t)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}
