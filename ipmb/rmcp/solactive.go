package rmcp

import (
	"context"
	"log/slog"
	"net/netip"
	"sync"
	"time"
)

// Console is the serial ports that there are, by payload instance.
type Console interface {
	// Open takes a port over for a session: it shows the end of what the
	// system said, and whoever typed before only watches from then on. It may
	// fail with a completion code.
	Open(ctx context.Context, o Opening) (Line, error)
}

// Opening is which port is opened, and for whom.
type Opening struct {
	Instance uint8
	// Hold is how long the system may be held up by a console that takes
	// nothing: after that its payload gives up.
	Hold time.Duration
	// Session names the session once and for all; empty: it ends with the process.
	Session string
	// Resume goes on where the session stopped, which another process had.
	Resume bool
}

// Line is the serial port for the one who types.
type Line interface {
	// Next waits for characters of the system's, of which some may have been
	// lost before. Who does not call it in time holds the system up.
	Next(ctx context.Context) (p []byte, lost bool, err error)
	// Heard tells that the console has n more of them, or will not have them, and
	// the number of the last packet that it acknowledged; and the last number that
	// a packet of the session had.
	Heard(n int, packet uint8, number uint32)
	// Resumed gives the former where the line goes on with what came after it, and
	// the latter where it is known, else 0.
	Resumed() (packet uint8, number uint32, ok bool)
	// Write gives characters to the system, and waits for a while if it is slow.
	Write(p []byte) (int, error)
	Break(ctx context.Context) error
	// Power tells whether the system has any; changed is closed when that is
	// not so any more.
	Power() (on bool, changed <-chan struct{})
	// Taken is closed when another one took the port over.
	Taken() <-chan struct{}
	Close() error
}

// activeSOL is one activated payload. Its run goroutine has the state.
type activeSOL struct {
	session  *session
	instance uint8
	line     Line // there before run
	timing   solTiming
	log      *slog.Logger

	packets chan solArrival
	resumed bool   // another process had it
	begin   func() // lets it send: the answer to its activation is out
	begun   chan struct{}
	once    sync.Once
	stopped chan struct{}
	quiet   bool // its console knows of the end; written before stopped is closed
	taken   bool // somebody took its port; for who waits for run
	keys    solKeys
}

// solArrival is a packet with where it came from.
type solArrival struct {
	packet solPacket
	from   netip.AddrPort
}

// solBacklog bounds packets of the console's that wait for the state; it sends
// those again that find no place.
const solBacklog = 8

func newActiveSOL(s *session, timing solTiming, log *slog.Logger) *activeSOL {
	a := &activeSOL{
		session: s, timing: timing, log: log, packets: make(chan solArrival, solBacklog),
		begun: make(chan struct{}), stopped: make(chan struct{}),
	}
	a.begin = sync.OnceFunc(func() { close(a.begun) })
	a.keys.ready, a.keys.gone = make(chan struct{}, 1), make(chan int, 1)
	s.serial.Store(a)
	return a
}

// hasPayload reports whether serial over LAN is active for a session.
func (s *session) hasPayload() bool {
	a := s.serial.Load()
	if a == nil {
		return false
	}
	select {
	case <-a.stopped:
		return false
	default:
		return true
	}
}

// stop ends a payload. Its console is told unless it asked for that itself.
func (a *activeSOL) stop(quiet bool) {
	a.once.Do(func() {
		a.quiet = quiet
		close(a.stopped)
	})
}

// solPort is what a payload needs of its door.
type solPort interface {
	send(b []byte, to netip.AddrPort)
}

// run is a payload's life: until ctx ends, its session does, or somebody
// deactivates it or takes the port.
func (a *activeSOL) run(ctx context.Context, door solPort, peer netip.AddrPort, ended <-chan struct{}) {
	ctx, cancel := context.WithCancel(ctx)
	var helpers sync.WaitGroup
	defer helpers.Wait()
	defer a.line.Close()
	defer cancel()
	select {
	case <-a.begun:
	case <-a.stopped:
		return
	case <-ended:
		return
	case <-ctx.Done():
		return
	}
	output := make(chan solOutput)
	helpers.Go(func() { a.read(ctx, output) })
	helpers.Go(func() { a.keys.run(ctx, a.line, a.log) })
	on, changed := a.line.Power()
	l := solLoop{activeSOL: a, door: door, peer: peer, output: output, changed: changed, state: newSOL(a.timing, on)}
	if a.resumed {
		packet, number, known := a.line.Resumed()
		a.session.follow(number)
		l.state.resume(packet, known)
	}
	l.timer = time.NewTimer(0)
	defer l.timer.Stop()
	tell := time.NewTicker(tellNumber)
	defer tell.Stop()
	l.tell = tell.C
	l.do(solEvent{})
	for l.step(ctx, ended) {
	}
}

// solOutput is what the system said.
type solOutput struct {
	data []byte
	lost bool
}

// read hands on what the system says, as far as there is room for it.
func (a *activeSOL) read(ctx context.Context, to chan<- solOutput) {
	for {
		p, lost, err := a.line.Next(ctx)
		if err != nil {
			return
		}
		select {
		case to <- solOutput{p, lost}:
		case <-ctx.Done():
			return
		}
	}
}

// solLoop is what the run goroutine has.
type solLoop struct {
	*activeSOL
	door    solPort
	peer    netip.AddrPort
	output  <-chan solOutput
	changed <-chan struct{}
	state   solState
	rest    []byte // of the system's characters, for which there was no room yet
	open    int    // of them, that the console does not have yet
	timer   *time.Timer
	tell    <-chan time.Time
	told    uint32 // number of the session's
}

// tellNumber is how often the port is told of the session's numbers: while
// nothing is said, messages use some.
const tellNumber = time.Second

// step waits for one thing to happen and does what it brings. It is false at
// the end.
func (l *solLoop) step(ctx context.Context, ended <-chan struct{}) bool {
	output := l.output
	if len(l.rest) > 0 || !l.state.wants() {
		output = nil
	}
	select {
	case in := <-l.packets:
		l.peer = in.from
		l.do(solEvent{packet: &in.packet})
	case o := <-output:
		if o.lost {
			l.do(solEvent{lost: true})
		}
		l.rest = o.data
		l.open += len(o.data)
	case n := <-l.keys.gone:
		l.do(solEvent{room: n})
	case <-l.changed:
		var on bool
		on, l.changed = l.line.Power()
		l.do(solEvent{power: &on})
	case <-l.timer.C:
		l.do(solEvent{})
	case <-l.tell:
		if l.told != l.session.number() {
			l.heard(0)
		}
	case <-l.stopped:
		if !l.quiet {
			l.do(solEvent{end: true})
		}
		return false
	case <-l.line.Taken():
		l.taken = true
		return false
	case <-ended:
		return false
	case <-ctx.Done():
		l.do(solEvent{end: l.session.name == [nameLen]byte{}}) // with a store, another process goes on
		return false
	}
	for len(l.rest) > 0 && l.state.wants() {
		n := min(len(l.rest), solQueue)
		l.do(solEvent{output: l.rest[:n]})
		l.rest = l.rest[n:]
	}
	if open := len(l.rest) + l.state.open(); open < l.open {
		l.heard(l.open - open)
		l.open = open
	}
	return true
}

// heard tells the port what another process needs to go on.
func (l *solLoop) heard(n int) {
	l.told = l.session.number()
	l.line.Heard(n, l.state.acked(), l.told)
}

// do lets the state deal with an event, and does what that brings.
func (l *solLoop) do(e solEvent) {
	var effects []solEffect
	l.state, effects = l.state.next(time.Now(), e)
	for _, f := range effects {
		switch {
		case f.send != nil:
			l.door.send(l.session.seal(PayloadSOL, f.send.append(nil)), l.peer)
		case f.input != nil:
			l.keys.add(solKey{data: f.input})
		case f.lines != 0:
			l.operate(f.lines)
		}
	}
	at := l.state.deadline()
	if l.timer.Stop(); !at.IsZero() {
		l.timer.Reset(time.Until(at))
	}
}

// operate does what the console asks for. A port of QEMU's has no modem lines:
// CTS holds back what the system sends, DCD and the ring indicator do nothing.
func (l *solLoop) operate(op solOp) {
	if op&solFlushOut != 0 {
		l.rest = nil
	}
	if op&solFlushIn != 0 {
		l.keys.flush()
	}
	if op&solBreak != 0 {
		l.keys.add(solKey{brk: true})
	}
}

// solKey is what goes to the system: characters, or a break.
type solKey struct {
	data []byte
	brk  bool
}

// solKeys is what waits for the system, in its order.
type solKeys struct {
	mu    sync.Mutex
	list  []solKey
	ready chan struct{} // one slot: there is something
	gone  chan int      // so many characters do not wait any more
}

// add lets one wait. A break after a break that waits is the same one.
func (k *solKeys) add(one solKey) {
	k.mu.Lock()
	if n := len(k.list); !one.brk || n == 0 || !k.list[n-1].brk {
		k.list = append(k.list, one)
	}
	k.mu.Unlock()
	select {
	case k.ready <- struct{}{}:
	default:
	}
}

func (k *solKeys) take() []solKey {
	k.mu.Lock()
	defer k.mu.Unlock()
	out := k.list
	k.list = nil
	return out
}

// flush forgets what waits.
func (k *solKeys) flush() {
	n := 0
	for _, one := range k.take() {
		n += len(one.data)
	}
	k.free(n)
}

// free tells that there is room. Whoever listens gets the sum.
func (k *solKeys) free(n int) {
	for n > 0 {
		select {
		case k.gone <- n:
			return
		case before := <-k.gone:
			n += before
		}
	}
}

// run writes what is added until ctx ends.
func (k *solKeys) run(ctx context.Context, line Line, log *slog.Logger) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-k.ready:
		}
		for _, one := range k.take() {
			if ctx.Err() != nil {
				return
			}
			if err := one.give(ctx, line); err != nil {
				log.Debug("input by serial over LAN lost", "err", err)
			}
			k.free(len(one.data))
		}
	}
}

func (one solKey) give(ctx context.Context, line Line) error {
	if one.brk {
		return line.Break(ctx)
	}
	_, err := line.Write(one.data)
	return err
}
