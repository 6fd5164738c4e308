package rmcp

import (
	"slices"
	"time"
)

// Limits of a SOL payload.
const (
	solQueue = 4 * solMaxData // characters of the system's that wait here; more wait in the port
	solRoom  = 4096           // characters of the console's that wait for the system
	// solHold is how long a packet may wait until the system takes its first
	// character: less than clients wait for an acknowledgement, of whom some
	// drop what is refused.
	solHold = 500 * time.Millisecond
)

// solTiming is how a payload collects and repeats: the SOL configuration
// parameters 3 and 4.
type solTiming struct {
	accumulate time.Duration // that a part of a packet waits for more
	threshold  int           // characters that are sent without waiting
	retries    int
	interval   time.Duration // between them
}

// solState is a SOL payload: what the controller does between the console and
// the system's serial port. It is pure: next makes it from events. The slices
// of an older state are not to be used any more.
type solState struct {
	solTiming

	// To the console.
	queue  []byte    // characters of the system's
	due    time.Time // when the queue is sent, though it is short
	flags  solOp     // overrun and break that are still to be told
	sent   solPacket // waits for an acknowledgement; of sequence 0: none does
	seq    uint8     // the last one that was used
	tries  int       // to come
	resend time.Time
	pause  time.Time // no new packet before: the console was full
	silent bool      // the console acknowledges nothing any more
	first  bool      // a packet without characters goes first

	// From the console.
	last    solPacket // acknowledgement of the last sequence, for a repeat
	waiting solPacket // waits for room; of sequence 0: none does
	giveUp  time.Time // for that
	refused bool      // it was told to wait
	room    int
	up      bool // the system has power
	cts     bool // the console lets it send
	dcd     bool
	over    bool
}

// newSOL is a payload just activated.
func newSOL(t solTiming, up bool) solState {
	return solState{solTiming: t, room: solRoom, up: up, cts: true, dcd: true}
}

// wants reports whether there is room for characters of the system's. Nothing
// waits for a console that does not answer.
func (s *solState) wants() bool { return s.cts && (s.silent || len(s.queue) < solQueue) }

// resume goes on after the last packet that is known to have been acknowledged to
// another process. The next one may have come as well: the console takes this one
// for its repetition, with more characters. Where no number is known a packet
// without characters keeps those of the next from being taken for old ones.
func (s *solState) resume(packet uint8, known bool) {
	s.seq, s.first = packet&solMaxSeq, !known
}

// acked is the number of the last packet that does not wait for anything.
func (s *solState) acked() uint8 {
	switch {
	case s.sent.Seq == 0:
		return s.seq
	case s.seq == 1:
		return solMaxSeq
	}
	return s.seq - 1
}

// open is how many of the system's characters the console may still get.
func (s *solState) open() int { return len(s.queue) + len(s.sent.Data) }

// patience is how long the console may acknowledge nothing before what was sent
// is given up.
func (t solTiming) patience() time.Duration { return time.Duration(t.retries+1) * t.interval }

// solEvent is what happens to a payload. One field is set.
type solEvent struct {
	packet *solPacket // from the console
	output []byte     // from the system
	lost   bool       // some of the system's characters
	broke  bool       // the system sent a break
	room   int        // so many characters of the console's have gone to the system
	power  *bool      // of the system
	end    bool       // the payload is deactivated by somebody else
}

// solEffect is what is to be done. One field is set.
type solEffect struct {
	send  *solPacket
	input []byte // for the system
	lines solOp  // break, ring, and flush in either direction
	cts   *bool
	dcd   *bool
}

// next does what an event, or none, brings at a time.
func (s solState) next(now time.Time, e solEvent) (solState, []solEffect) {
	if s.over {
		return s, nil
	}
	t := solTurn{solState: s, now: now}
	switch {
	case e.packet != nil:
		t.receive(*e.packet)
	case e.output != nil:
		t.collect(e.output)
	case e.lost:
		t.flags |= solOverrun
	case e.broke:
		t.flags |= solBroke
		t.due = now
	case e.room > 0:
		t.room += e.room
		t.makeRoom()
	case e.power != nil:
		t.switched(*e.power)
	case e.end:
		t.over = true
		t.emit(solEffect{send: &solPacket{Op: solDeactivated}})
		return t.solState, t.effects
	}
	t.expire()
	t.transmit()
	return t.solState, t.effects
}

// deadline is when next is to be called though nothing happens; zero: never.
func (s *solState) deadline() (at time.Time) {
	earlier := func(t time.Time) {
		if at.IsZero() || t.Before(at) {
			at = t
		}
	}
	switch {
	case s.sent.Seq != 0:
		earlier(s.resend)
	case len(s.queue) > 0 && len(s.queue) >= s.threshold:
		earlier(s.pause)
	case s.pending():
		earlier(later(s.due, s.pause))
	}
	if s.waiting.Seq != 0 {
		earlier(s.giveUp)
	}
	return at
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// pending reports whether there is something to tell the console.
func (s *solState) pending() bool { return s.first || len(s.queue) > 0 || s.flags&solBroke != 0 }

// solTurn is one event's work on the state.
type solTurn struct {
	solState
	now     time.Time
	ack     solPacket // goes with the next packet, or alone
	acks    bool
	effects []solEffect
}

func (t *solTurn) emit(e solEffect) { t.effects = append(t.effects, e) }

func (t *solTurn) status() solOp {
	if t.up {
		return 0
	}
	return solUnavailable
}

// collect takes characters of the system's. For a console that does not answer
// the newest ones are kept.
func (t *solTurn) collect(p []byte) {
	if len(t.queue) == 0 {
		t.due = t.now.Add(t.accumulate)
	}
	t.queue = append(t.queue, p...)
	if over := len(t.queue) - solQueue; t.silent && over > 0 {
		t.queue = t.queue[over:]
		t.flags |= solOverrun
	}
}

// switched tells the console that the system lost its power, or got it.
func (t *solTurn) switched(up bool) {
	if up == t.up {
		return
	}
	t.up = up
	if t.waiting.Seq != 0 {
		t.take(t.waiting)
		return
	}
	t.resume()
}

// resume tells the console how things are now.
func (t *solTurn) resume() { t.refused, t.acks, t.ack = false, true, solPacket{} }

// makeRoom goes on with a packet that waits, or lets the console send again.
func (t *solTurn) makeRoom() {
	switch {
	case t.waiting.Seq != 0:
		t.take(t.waiting)
	case t.refused && t.up:
		t.resume()
	}
}

// receive takes a packet of the console's: what it acknowledges, what it asks
// for, and its characters. One that came before is acknowledged again.
func (t *solTurn) receive(p solPacket) {
	t.silent = false
	t.levels(p.Op)
	t.acknowledged(p)
	switch {
	case p.Seq == 0:
		t.operate(p.Op)
	case p.Seq == t.waiting.Seq:
	case p.Seq == t.last.Ack:
		t.ack, t.acks = t.last, true
	default:
		t.waiting = solPacket{}
		t.operate(p.Op)
		t.take(p)
	}
}

// levels follows the lines that every packet has the state of.
func (t *solTurn) levels(op solOp) {
	if cts := op&solPauseCTS == 0; cts != t.cts {
		t.cts = cts
		t.emit(solEffect{cts: &cts})
	}
	if dcd := op&solDropDCD == 0; dcd != t.dcd {
		t.dcd = dcd
		t.emit(solEffect{dcd: &dcd})
	}
}

// operate does what a packet asks for once. A flush does not concern the
// packet's own characters, a break comes before them.
func (t *solTurn) operate(op solOp) {
	if op&solFlushOut != 0 {
		t.queue = nil
	}
	if do := op & (solFlushIn | solFlushOut | solBreak | solRing); do != 0 {
		t.emit(solEffect{lines: do})
	}
}

// take gives a packet's characters to the system, or as many as there is room
// for: the console sends the others again under a new number.
func (t *solTurn) take(p solPacket) {
	n := min(len(p.Data), t.room, solMaxData)
	switch {
	case !t.up && len(p.Data) > 0:
		t.refuse(p)
		return
	case n == 0 && len(p.Data) > 0:
		if t.waiting.Seq == 0 {
			p.Data = slices.Clone(p.Data)
			t.waiting, t.giveUp = p, t.now.Add(solHold)
		}
		return
	case n > 0:
		t.room -= n
		t.emit(solEffect{input: slices.Clone(p.Data[:n])})
	}
	t.waiting, t.refused = solPacket{}, false
	t.last = solPacket{Ack: p.Seq, Count: uint8(n)}
	t.ack, t.acks = t.last, true
}

// refuse has the console send a packet again later.
func (t *solTurn) refuse(p solPacket) {
	t.waiting, t.refused = solPacket{}, true
	t.ack, t.acks = solPacket{Ack: p.Seq, Op: solNACK}, true
}

// acknowledged deals with what a packet says of ours. What the console did not
// accept goes out again under a new number, at once or, where it was full, when
// it says that it is not or after the time of a retry.
func (t *solTurn) acknowledged(p solPacket) {
	full := p.Op&solNACK != 0
	if p.Ack != 0 && p.Ack == t.sent.Seq {
		rest := t.sent.Data[min(int(p.Count), len(t.sent.Data)):]
		full = full || len(rest) > 0 && p.Count == 0
		if full {
			t.flags |= t.sent.Op
		}
		t.sent = solPacket{}
		if len(rest) > 0 {
			t.queue, t.due = slices.Concat(rest, t.queue), t.now
		}
	}
	if t.pause = (time.Time{}); full {
		t.pause = t.now.Add(t.interval)
	}
}

// expire deals with what waited for too long.
func (t *solTurn) expire() {
	if t.waiting.Seq != 0 && !t.now.Before(t.giveUp) {
		t.refuse(t.waiting)
	}
	if t.sent.Seq == 0 || t.now.Before(t.resend) {
		return
	}
	if t.tries--; t.tries < 0 {
		t.flags |= t.sent.Op | solOverrun
		t.sent, t.silent = solPacket{}, true
		return
	}
	t.resend = t.now.Add(t.interval)
	again := t.sent
	t.attach(&again)
	t.emit(solEffect{send: &again})
}

// attach lets an acknowledgement go with a packet.
func (t *solTurn) attach(p *solPacket) {
	p.Op |= t.status()
	if t.acks {
		p.Ack, p.Count, p.Op = t.ack.Ack, t.ack.Count, p.Op|t.ack.Op
		t.acks = false
	}
}

// transmit sends what is to be sent: one packet of characters at a time.
func (t *solTurn) transmit() {
	ready := t.first || len(t.queue) >= t.threshold || !t.now.Before(t.due)
	if t.sent.Seq == 0 && t.pending() && ready && !t.now.Before(t.pause) {
		t.fill()
	}
	if t.acks {
		var alone solPacket
		t.attach(&alone)
		t.emit(solEffect{send: &alone})
	}
}

// fill makes the next packet of characters.
func (t *solTurn) fill() {
	n := min(len(t.queue), solMaxData)
	if t.first {
		n, t.first = 0, false
	}
	t.seq = t.seq%solMaxSeq + 1
	t.sent = solPacket{Seq: t.seq, Op: t.flags, Data: t.queue[:n:n]}
	t.queue, t.flags = t.queue[n:], 0
	t.due = t.now.Add(t.accumulate)
	t.tries, t.resend = t.retries, t.now.Add(t.interval)
	first := t.sent
	t.attach(&first)
	t.emit(solEffect{send: &first})
}
