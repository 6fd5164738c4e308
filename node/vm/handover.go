package vm

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"slices"
	"time"
)

// State is what another process must know to go on with a VM's connection.
// It marshals to JSON.
type State struct {
	Capabilities Capabilities `json:"capabilities"`
	Attention    bool         `json:"attention"`
	Interrupts   bool         `json:"interrupts"`
	Paused       bool         `json:"paused"`
	Asked        bool         `json:"asked"`           // a request came by this connection
	Seq          *uint8       `json:"seq,omitempty"`   // of the newest request, if there was one
	Reply        []byte       `json:"reply,omitempty"` // the answer to it, as it was sent

	// Input came and was not served, as it stood on the wire: perhaps a request
	// whose handler was still busy, whole frames, and the begin of one.
	Input []byte    `json:"input,omitempty"`
	Since time.Time `json:"since"` // when the first request in Input came
}

// fileConn is a connection whose descriptor can be had, as *net.UnixConn and *net.TCPConn.
type fileConn interface {
	net.Conn
	File() (*os.File, error)
}

// Detach ends the door but not the VM's connection: it stops between two
// messages and gives the connection and what [Door.Resume] needs to go on with
// it in another process, so that the guest does not see the change. A request
// under way is waited for until ctx ends; then its handler is told to stop,
// its answer is dropped, and the request goes along in the State to be served
// again. The file is nil when no VM is connected; other connections are closed
// as by [Door.Close]. Serve, ServeConn and Dial return; handlers are waited for.
func (d *Door) Detach(ctx context.Context) (State, *os.File, error) {
	d.mu.Lock()
	d.leaving = true
	st, file, err := d.detach(ctx)
	d.end()
	d.mu.Unlock()
	return st, file, errors.Join(err, d.Close())
}

func (d *Door) detach(ctx context.Context) (State, *os.File, error) {
	l := d.active
	if l == nil {
		return d.state(), nil, nil
	}
	conn, ok := l.conn.(fileConn)
	if !ok {
		return d.state(), nil, fmt.Errorf("vm: a %T cannot be handed over", l.conn)
	}
	st := d.halt(ctx, l)
	defer conn.Close() // does not shut the connection down, which the file shares
	if l.dead {
		return st, nil, nil
	}
	file, err := conn.File()
	if err != nil {
		return st, nil, fmt.Errorf("vm: hand over the connection: %w", err)
	}
	return st, file, nil
}

// halt stops the reading of l at the end of a message, lets everything that
// is queued leave, and gives the state then. The caller holds d.mu.
func (d *Door) halt(ctx context.Context, l *link) State {
	d.await(ctx, func() bool { return l.dead || !l.owes() })
	since := time.Now()
	l.handing = true
	_ = l.conn.SetReadDeadline(time.Unix(1, 0))
	if t := l.newest; t != nil {
		since = since.Add(t.began - d.clock.now())
		l.unserved = AppendMessage(l.unserved, t.msg)
		l.giveUp()
	}
	if l.turn != nil {
		l.handOff() // its handler may take its time; the reading must end now
	}
	l.flush()
	d.await(context.Background(), func() bool { return l.dead || !l.writing })
	d.mu.Unlock()
	<-l.done
	d.mu.Lock()
	l.flush()
	d.await(context.Background(), func() bool { return l.dead || !l.writing })
	l.draining = true
	st := d.state()
	st.Attention, st.Interrupts = l.told.attention, l.told.interrupts // the door's may have changed since
	st.Capabilities, st.Asked, st.Since = l.info.Capabilities, l.asked, since
	st.Input = append(l.decoder.AppendPending(l.unserved), l.in...)
	return st
}

func (d *Door) state() State {
	st := State{
		Attention: d.level.attention, Interrupts: d.level.interrupts,
		Paused: d.clock.paused, Reply: slices.Clone(d.reply),
	}
	if n := d.last.n; d.last.known {
		st.Seq = &n
	}
	return st
}

// Resume goes on with a connection that [Door.Detach] gave in another process:
// it owns file from here, and serves until the connection is lost, or ctx or
// the door ends, as [Door.ServeConn] does. What was set by SetAttention,
// SetInterrupts and SetPaused before holds against st, and the guest is told
// the difference. With a nil file it only takes over the state.
func (d *Door) Resume(ctx context.Context, st State, file *os.File) error {
	if file == nil {
		d.mu.Lock()
		defer d.mu.Unlock()
		d.restore(st)
		return nil
	}
	conn, err := net.FileConn(file)
	_ = file.Close()
	if err != nil {
		return fmt.Errorf("vm: take over the connection: %w", err)
	}
	l := newLink(d, conn)
	l.in, l.up, l.asked = st.Input, true, st.Asked
	l.info.Capabilities, l.info.Resumed = st.Capabilities, true
	if err := d.takeUp(l, st); err != nil {
		_ = conn.Close()
		return err
	}
	l.announce()
	d.run(ctx, l)
	return nil
}

// takeUp makes l the active link with what its guest knows already.
func (d *Door) takeUp(l *link, st State) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := d.admit(l); err != nil {
		return err
	}
	d.restore(st)
	l.told = level{st.Attention, st.Interrupts}
	d.replyTo = l
	d.promote(l)
	if len(st.Input) > 0 {
		d.backdate = max(0, time.Since(st.Since))
	}
	l.sync()
	l.flush()
	return nil
}

func (d *Door) restore(st State) {
	if !d.given.attention {
		d.level.attention = st.Attention
	}
	if !d.given.interrupts {
		d.level.interrupts = st.Interrupts
	}
	if !d.given.paused {
		d.clock.setPaused(st.Paused)
	}
	if st.Seq != nil {
		d.last = sequence{*st.Seq, true}
	}
	d.reply = append(d.reply[:0], st.Reply...)
}
