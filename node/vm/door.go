package vm

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/midplane-project/midplane/ipmb"
)

// Errors of a [Door].
var (
	ErrNotConnected = errors.New("vm: no VM is connected")
	ErrCapability   = errors.New("vm: the VM cannot do that")
	ErrClosed       = errors.New("vm: door closed")
)

// Direction is the way of a message, seen from the node.
type Direction uint8

// Directions.
const (
	FromGuest Direction = iota
	ToGuest
)

func (d Direction) String() string {
	if d == ToGuest {
		return "to guest"
	}
	return "from guest"
}

// Tap sees the traffic: msg is netFn<<2|LUN, command, in an answer the
// completion code, data. For what is no IPMI message msg is nil and note says
// what it was: a hardware command, a dropped frame or answer. A Tap is called
// on the way of the request: it must be quick, must not keep msg and must not
// call the Door.
type Tap func(dir Direction, msg []byte, note string)

// Link describes one connection of a VM.
type Link struct {
	ID           uint64       // counts connections of this Door from 1
	Capabilities Capabilities // 0 when the VM announced none
	Resumed      bool         // taken over from another process: the guest runs already
}

// Config is what a [Door] needs. Only Handler must be set.
type Config struct {
	// Handler answers the guest. Its context ends when nobody waits for the
	// answer any more: after four seconds of VM time, when the guest gave up
	// and asked something else, or when the door closes.
	Handler ipmb.Handler

	// Origin is what requests carry. Shelf, Source, SourceLUN and Instance are
	// taken as they are; that it is the guest, at the system interface, with
	// administrator privilege on channel Fh, the door says itself.
	Origin ipmb.Origin

	// Interface bounds the answers; those beyond it become C6h.
	Interface Interface

	// OnConnect is called when a VM has greeted (a connection that never says
	// anything is no VM), OnDisconnect when its link is lost. They must not block.
	OnConnect, OnDisconnect func(Link)

	// Memory is MemorySize bytes, zero at first, in which the door notes what
	// this guest asks, until it is closed. If they outlive the process, as those
	// of a mapped file do, the next one can revive a guest that a killed one
	// left without an answer. Default: the door's own.
	Memory []byte

	// Tap sees every message, if set.
	Tap Tap

	// FaultID gives each fault its id. Default: they are counted from 1.
	FaultID func() uint32

	// Logger is told about dropped frames and lost links. Default: silent.
	Logger *slog.Logger
}

// Door serves one VM over any number of connections, one after the other or,
// while it migrates, two at once. All methods may be called at any time from
// any goroutine, also from within the Handler.
type Door struct {
	cfg    Config
	origin ipmb.Origin
	log    *slog.Logger
	base   context.Context // ends with the door
	end    context.CancelFunc
	conns  sync.WaitGroup // connections
	wg     sync.WaitGroup // readers and handlers

	mu       sync.Mutex
	changed  sync.Cond // something that closing or handing over waits for
	waiting  int       // how many wait for that
	clock    clock
	links    []*link // in the order of their connections
	leaving  bool    // no more connections are taken
	lastID   uint64
	active   *link // hears hardware commands: the one that last sent a request
	level    level // what every link is to know
	given    given
	current  *turn // the newest request, until it is answered
	slow     []*turn
	last     sequence
	memory   memory
	reply    []byte        // the answer to the newest request as it was sent; empty before
	replyTo  *link         // by which link it went
	backdate time.Duration // how long ago the next request came: a process before this one had it
	watch    *time.Timer
	watching bool
	served   uint64 // requests so far
	faults   faults
	noticed  uint64 // served, when the watch last looked
}

// level is the state of the two lines to the guest.
type level struct{ attention, interrupts bool }

// given tells what was set from outside, and so is newer than a [State].
type given struct{ attention, interrupts, paused bool }

// sequence is the number of the newest request, if there was one.
type sequence struct {
	n     uint8
	known bool
}

// New makes a Door. It starts nothing.
func New(cfg Config) *Door {
	o := cfg.Origin
	o.Speaker, o.Door, o.Channel, o.Privilege = ipmb.SpeakerGuest, ipmb.DoorSystem, ipmb.ChannelSystem, ipmb.PrivilegeAdmin
	d := &Door{cfg: cfg, origin: o, log: cfg.Logger, clock: newClock(), memory: cfg.Memory}
	if len(d.memory) < MemorySize {
		d.memory = make(memory, MemorySize)
	}
	if d.faults.next = cfg.FaultID; d.faults.next == nil {
		counted := new(atomic.Uint32)
		d.faults.next = func() uint32 { return counted.Add(1) }
	}
	d.base, d.end = context.WithCancel(context.Background())
	if d.log == nil {
		d.log = slog.New(slog.DiscardHandler)
	}
	d.changed.L = &d.mu
	d.watch = time.AfterFunc(time.Hour, d.look)
	d.watch.Stop()
	return d
}

// SetAttention tells the guest whether something waits for it. With interrupts
// enabled it also interrupts, since Linux would not look otherwise. Repeating
// the present state sends nothing.
func (d *Door) SetAttention(on bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.level.attention, d.given.attention = on, true
	d.syncAll()
}

// SetInterrupts follows the guest's Receive Message Queue interrupt enable.
// Without it Linux polls the interface, some thirty times slower.
func (d *Door) SetInterrupts(on bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.level.interrupts, d.given.interrupts = on, true
	d.syncAll()
}

// Remind repeats the attention for something new while it is already up. A BT
// guest lowers the line itself and would not hear of the second message; the
// other interfaces keep it up, and for them Remind does nothing.
func (d *Door) Remind() {
	d.mu.Lock()
	defer d.mu.Unlock()
	if !d.level.attention || d.cfg.Interface != BT {
		return
	}
	for _, l := range d.links {
		if l.up {
			l.command(d.level.command())
			l.flushSoon()
		}
	}
}

// SetPaused says whether the VM stands still (QMP STOP and RESUME). Its
// timeouts then stand still too.
func (d *Door) SetPaused(paused bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.clock.setPaused(paused)
	d.given.paused = true
}

// Hardware does something to the VM: CommandPowerOff, CommandReset, CommandNMI
// or CommandGracefulPower. It returns when the command has left, or stands
// before the answer to a request that is just being served. Whether the VM
// obeyed is for QMP to tell. ErrNotConnected, ErrCapability.
func (d *Door) Hardware(c Command) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	need := c.needs()
	switch {
	case need == 0:
		return errors.New("vm: " + c.String() + " is no hardware action")
	case d.active == nil:
		return ErrNotConnected
	case !d.active.info.Capabilities.Has(need):
		return ErrCapability
	}
	l := d.active
	l.command(c)
	l.flushSoon()
	if l.dead {
		return ErrNotConnected
	}
	return nil
}

// Connected gives the links of VMs that have greeted, the active one first.
func (d *Door) Connected() []Link {
	d.mu.Lock()
	defer d.mu.Unlock()
	var out []Link
	for _, l := range d.links {
		switch {
		case l == d.active:
			out = append([]Link{l.info}, out...)
		case l.up:
			out = append(out, l.info)
		}
	}
	return out
}

// Close ends every connection so that the guest does not notice more than a
// missing controller (see [Door.ServeConn]), and waits for all handlers.
func (d *Door) Close() error {
	d.mu.Lock()
	d.end()
	d.mu.Unlock()
	d.conns.Wait()
	d.faults.remove(func(*activeFault) bool { return true })
	d.mu.Lock()
	for _, t := range d.slow {
		t.ctx.end(context.Canceled)
	}
	d.mu.Unlock()
	d.wg.Wait()
	return nil
}

// untilEnd gives a context that also ends with the door.
func (d *Door) untilEnd(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(ctx)
	stop := context.AfterFunc(d.base, cancel)
	return ctx, func() { stop(); cancel() }
}

// notify wakes whoever waits for a change. The caller holds d.mu.
func (d *Door) notify() {
	if d.waiting > 0 {
		d.changed.Broadcast()
	}
}

func (d *Door) tap(dir Direction, msg []byte, note string) {
	if d.cfg.Tap != nil {
		d.cfg.Tap(dir, msg, note)
	}
}
