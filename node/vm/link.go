package vm

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"time"
)

const (
	readSize  = 4096
	maxQueued = 64 << 10         // bytes for a peer that does not read; more is a broken peer
	stuckLate = 10 * time.Second // how long a write may take before the peer counts as broken
)

// link is one connection. Reading belongs to one goroutine at a time; it
// passes to another when a handler is slow (see turn). All else is under door.mu.
type link struct {
	door *Door
	conn net.Conn
	io   io.ReadWriter // of conn
	done chan struct{} // closed when reading has ended

	// Of the reading goroutine.
	in        []byte // received and not yet decoded, at first within buf
	buf       []byte
	decoder   Decoder
	announced bool // OnConnect was called

	info     Link
	up       bool // a VM has greeted or asked
	told     level
	dead     bool // reading or writing failed, or ended
	draining bool // requests are no longer served
	handing  bool // to be handed over: requests are kept in unserved
	unserved []byte
	turn     *turn // the request that the reading goroutine serves
	newest   *turn // the last that came, until it is settled
	free     *turn
	kick     *time.Timer
	kicks    int // sent so far
	rescue   *time.Timer
	asked    bool // a request came

	out     []byte // to be written
	spare   []byte
	writing bool // some goroutine is in Write, or about to look at out again
	limited bool // a write deadline was set
}

func newLink(d *Door, conn net.Conn) *link {
	return &link{door: d, conn: conn, io: quicken(conn), done: make(chan struct{}), buf: make([]byte, readSize)}
}

// read serves the link until it ends or another goroutine has taken over.
func (l *link) read() {
	err := l.serveInput()
	if errors.Is(err, errHandedOff) {
		return
	}
	l.end(err)
}

// errHandedOff says that another goroutine now reads the link.
var errHandedOff = errors.New("vm: reading was handed off")

// errStopped says that reading stopped on request.
var errStopped = errors.New("vm: reading stopped")

func (l *link) serveInput() error {
	for {
		for len(l.in) > 0 {
			var f Frame
			f, l.in = l.decoder.Next(l.in)
			if err := l.frame(f); err != nil {
				return err
			}
		}
		n, err := l.io.Read(l.buf)
		l.in = l.buf[:n]
		if err != nil && n == 0 {
			return err
		}
	}
}

func (l *link) frame(f Frame) error {
	switch f.Kind {
	case FrameMessage:
		m, err := ParseMessage(f.Body)
		if err != nil {
			l.dropped(err)
			return nil
		}
		return l.request(m)
	case FrameCommand:
		l.hardware(f.Body)
	case FrameBad:
		l.dropped(f.Err)
	}
	return nil
}

func (l *link) dropped(err error) {
	l.door.log.Debug("dropped a frame", "link", l.info.ID, "err", err)
	l.door.tap(FromGuest, nil, "dropped: "+err.Error())
}

// hardware takes a command of the VM. QEMU sends its version, then its
// capabilities; nothing calls its code for reset.
func (l *link) hardware(body []byte) {
	c := Command(body[0])
	if l.door.cfg.Tap != nil {
		l.door.tap(FromGuest, nil, fmt.Sprintf("%s % x", c, body[1:min(len(body), maxCommandBytes)]))
	}
	if c == CommandCapabilities && len(body) >= maxCommandBytes {
		l.greeted(Capabilities(body[1]))
	}
}

// greeted takes the capabilities and makes the link a VM's.
func (l *link) greeted(c Capabilities) {
	d := l.door
	d.mu.Lock()
	l.info.Capabilities = c
	l.arrive()
	d.mu.Unlock()
	l.announce()
}

// asks makes the link a VM's that did not greet. It comes before the request has a
// turn: from then on another goroutine may read.
func (l *link) asks() {
	if l.announced {
		return
	}
	l.door.mu.Lock()
	if !l.handing {
		l.arrive()
	}
	up := l.up
	l.door.mu.Unlock()
	if up {
		l.announce()
	}
}

// announce calls OnConnect, once.
func (l *link) announce() {
	if l.announced {
		return
	}
	l.announced = true
	if f := l.door.cfg.OnConnect; f != nil {
		f(l.info)
	}
}

// usable reports whether a VM hears what is sent by l.
func (l *link) usable() bool { return l.up && !l.dead && !l.draining }

// forgetPartial comes first on a connection. QEMU keeps what it had received of
// a message when an earlier connection broke, its escape too, and a hardware
// command is the first byte that it holds: half an answer with number 04h made
// the next command a reset. The 01h uses up an escape and spoils the checksum of
// a message that lacks only its end, whose answer would come too late; the A0h
// ends what there is, and QEMU ignores it (hw/ipmi/ipmi_bmc_extern.c, handle_msg
// and chr_event).
var forgetPartial = []byte{0x01, endMessage}

// arrive makes the link a VM's, once. The caller holds door.mu.
func (l *link) arrive() {
	d := l.door
	if l.up || l.dead || l.draining {
		return
	}
	l.up = true
	d.log.Debug("VM connected", "link", l.info.ID, "capabilities", l.info.Capabilities)
	l.out = append(l.out, forgetPartial...)
	l.command(CommandVersion, ProtocolVersion)
	l.tellAll()
	if d.active == nil {
		d.promote(l)
	}
	l.flush()
}

// end is the last thing that a reading goroutine does.
func (l *link) end(err error) {
	d := l.door
	d.mu.Lock()
	handed := errors.Is(err, errStopped) || (l.handing && errors.Is(err, os.ErrDeadlineExceeded))
	if !handed {
		l.die(err)
	}
	d.mu.Unlock()
	close(l.done)
}

// die takes the link out of use. The caller holds door.mu.
func (l *link) die(err error) {
	if l.dead {
		return
	}
	l.dead = true
	if l.up && !errors.Is(err, io.EOF) && !l.draining {
		l.door.log.Warn("link lost", "link", l.info.ID, "err", err)
	}
	for _, t := range []*time.Timer{l.kick, l.rescue} {
		if t != nil {
			t.Stop()
		}
	}
	l.door.notify()
}
