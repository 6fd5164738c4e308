package node

import (
	"bytes"
	"context"
	"sync"
	"time"

	"github.com/midplane-project/midplane/ipmb"
)

// BMC global enables (IPMI 2.0 §22.1) and message flags (§22.4).
const (
	enableQueueInterrupt = 0x01 // interrupt when the receive message queue is not empty
	enableEventInterrupt = 0x02 // interrupt when the event message buffer is full
	enableEventBuffer    = 0x04
	enableSEL            = 0x08
	enablesKnown         = enableQueueInterrupt | enableEventInterrupt | enableEventBuffer | enableSEL

	flagQueue       = 0x01
	flagEventBuffer = 0x02
	flagWatchdog    = 0x08 // the watchdog timer's pre-timeout interrupt

	// defaultEnables is the state of a controller that was never set: the log
	// is on, the guest's interrupts are its driver's to enable.
	defaultEnables = enableSEL

	// queueLimit bounds the receive message queue. Linux has 64 sequence
	// numbers per target and empties the queue at each interrupt; what comes
	// above the limit is dropped, as a controller out of buffers does, and its
	// sender tries again.
	queueLimit = 256
)

// raised is the data of a flag that has none.
var raised = []byte{}

// noLetter is no message: nothing was given to the guest that it may not have got.
var noLetter = letter{slot: noSlot}

// attention is what the message flags act on: the guest's door.
type attention interface {
	SetAttention(on bool)
	SetInterrupts(on bool)
	Remind() // something new came while the attention line was up
}

// messages is the system interface's mailbox: global enables, message flags,
// receive message queue and event message buffer. The attention line follows
// the flags and the interrupts follow the enables, always.
type messages struct {
	save   func(enables byte) error
	ledger *ledger

	mu      sync.Mutex
	line    attention
	enables byte
	queue   []letter
	given   letter // the last one that the guest fetched; kept until it asks for the next
	event   letter // one SEL record, without data when the buffer is empty
	warning letter // the watchdog's flag, without data when it is down
}

// letter is one message for the guest: channel and privilege, then the message
// without the address that it was sent to.
type letter struct {
	data  []byte
	slot  int             // in the ledger
	taken func(time.Time) // called when the guest fetched it; may be nil
}

func newMessages(enables byte, save func(byte) error, l *ledger) *messages {
	return &messages{enables: enables, save: save, ledger: l, given: noLetter, event: noLetter, warning: noLetter}
}

// restore takes a record of an earlier process back. taken is as in push.
func (m *messages) restore(r record, taken func(time.Time)) {
	m.mu.Lock()
	defer m.mu.Unlock()
	switch r.kind {
	case recordEvent:
		m.event = letter{data: r.payload, slot: r.slot}
	case recordWarning:
		m.warning = letter{data: raised, slot: r.slot}
	default:
		m.queue = append(m.queue, letter{r.payload, r.slot, taken})
	}
	m.signal()
}

// settle forgets the message that the guest fetched last: it has it.
func (m *messages) settle() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.drop(&m.given)
}

func (m *messages) drop(l *letter) {
	m.ledger.drop(l.slot)
	*l = noLetter
}

// connect gives the mailbox its door.
func (m *messages) connect(line attention) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.line = line
	m.signal()
}

// signal brings the door's lines in step with flags and enables.
func (m *messages) signal() {
	if m.line == nil {
		return
	}
	m.line.SetInterrupts(m.enables&(enableQueueInterrupt|enableEventInterrupt) != 0)
	m.line.SetAttention(m.flags() != 0)
}

func (m *messages) flags() (f byte) {
	if len(m.queue) > 0 {
		f |= flagQueue
	}
	if m.event.data != nil {
		f |= flagEventBuffer
	}
	if m.warning.data != nil {
		f |= flagWatchdog
	}
	return f
}

// push puts a frame that is addressed to this controller into the receive
// message queue: all of it but the leading address (IPMI 2.0 §22.6). It
// reports false when the queue is full. taken is called when the guest has
// fetched it, and may be nil.
func (m *messages) push(f ipmb.Frame, taken func(time.Time)) bool {
	raw, err := f.AppendBinary([]byte{ipmb.ChannelIPMB})
	if err != nil {
		return false
	}
	return m.enqueue(append(raw[:1], raw[2:]...), taken)
}

func (m *messages) enqueue(data []byte, taken func(time.Time)) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(m.queue) >= queueLimit {
		return false
	}
	m.queue = append(m.queue, letter{data, m.ledger.add(recordLetter, data), taken})
	m.signal()
	if m.line != nil && len(m.queue) > 1 {
		m.line.Remind()
	}
	return true
}

// remind tells the guest once more that mail waits, if any does: it seems not
// to have noticed.
func (m *messages) remind() {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.line != nil && m.flags() != 0 {
		m.line.Remind()
	}
}

// bufferEvent puts a SEL record into the event message buffer. It keeps the
// one that is there: the buffer holds the oldest event not yet read.
func (m *messages) bufferEvent(record []byte) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.enables&enableEventBuffer == 0 || m.event.data != nil {
		return
	}
	m.event = letter{data: bytes.Clone(record), slot: m.ledger.add(recordEvent, record)}
	m.signal()
}

// warn raises the watchdog's flag.
func (m *messages) warn() {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.warning.data != nil {
		return
	}
	others := m.flags() != 0
	m.warning = letter{data: raised, slot: m.ledger.add(recordWarning, nil)}
	m.signal()
	if m.line != nil && others {
		m.line.Remind()
	}
}

// logs reports whether the guest left the SEL switched on.
func (m *messages) logs() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.enables&enableSEL != 0
}

func (m *messages) commands() []ipmb.Command {
	row := func(name string, cmd ipmb.Cmd, n int, ref string, do func(context.Context, *ipmb.Request) ([]byte, error)) ipmb.Command {
		return ipmb.Command{
			Name: name, NetFn: ipmb.NetFnApp, Cmd: cmd, Privilege: ipmb.PrivilegeUser,
			Access: ipmb.SystemOnly, Data: ipmb.Exactly(n), Ref: ref, Do: do,
		}
	}
	getEnables := row("Get BMC Global Enables", ipmb.CmdGetGlobalEnables, 0, "IPMI 2.0 §22.2", m.getEnables)
	getEnables.Access = ipmb.Anywhere
	return []ipmb.Command{
		row("Set BMC Global Enables", ipmb.CmdSetGlobalEnables, 1, "IPMI 2.0 §22.1", m.setEnables),
		getEnables,
		row("Clear Message Flags", ipmb.CmdClearMessageFlags, 1, "IPMI 2.0 §22.3", m.clearFlags),
		row("Get Message Flags", ipmb.CmdGetMessageFlags, 0, "IPMI 2.0 §22.4", m.getFlags),
		row("Get Message", ipmb.CmdGetMessage, 0, "IPMI 2.0 §22.6", m.getMessage),
		row("Read Event Message Buffer", ipmb.CmdReadEventMessageBuffer, 0, "IPMI 2.0 §22.8", m.readEvent),
	}
}

func (m *messages) setEnables(_ context.Context, req *ipmb.Request) ([]byte, error) {
	e := req.Data[0]
	if e&^enablesKnown != 0 {
		return nil, ipmb.ErrInvalidField // no OEM enables here
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if e != m.enables {
		if err := m.save(e); err != nil {
			return nil, err
		}
		m.enables = e
	}
	m.signal()
	return nil, nil
}

func (m *messages) getEnables(context.Context, *ipmb.Request) ([]byte, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return []byte{m.enables}, nil
}

// clearFlags throws away what the flags stand for.
func (m *messages) clearFlags(_ context.Context, req *ipmb.Request) ([]byte, error) {
	now := time.Now()
	for _, l := range m.clear(req.Data[0]) {
		if l.taken != nil {
			l.taken(now)
		}
	}
	return nil, nil
}

// clear empties the queue and the event buffer and lowers the watchdog's flag.
// It gives what was queued.
func (m *messages) clear(flags byte) (thrown []letter) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if flags&flagQueue != 0 {
		for _, l := range m.queue {
			m.ledger.drop(l.slot)
		}
		thrown, m.queue = m.queue, nil
	}
	if flags&flagEventBuffer != 0 {
		m.drop(&m.event)
	}
	if flags&flagWatchdog != 0 {
		m.drop(&m.warning)
	}
	m.signal()
	return thrown
}

// reset is the mailbox of a controller that was never set, but for its queue.
func (m *messages) reset() error {
	m.mu.Lock()
	if err := m.save(defaultEnables); err != nil {
		m.mu.Unlock()
		return err
	}
	m.enables = defaultEnables
	m.mu.Unlock()
	m.clear(flagEventBuffer | flagWatchdog)
	return nil
}

func (m *messages) getFlags(context.Context, *ipmb.Request) ([]byte, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return []byte{m.flags()}, nil
}

// getMessage gives the oldest message. Should the node be killed before the
// guest has it, the next process gives it again.
func (m *messages) getMessage(context.Context, *ipmb.Request) ([]byte, error) {
	l, ok := m.next()
	if !ok {
		return nil, ipmb.ErrEmpty
	}
	if l.taken != nil {
		l.taken(time.Now())
	}
	return l.data, nil
}

func (m *messages) next() (letter, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.drop(&m.given)
	if len(m.queue) == 0 {
		return noLetter, false
	}
	m.given = m.queue[0]
	m.queue = m.queue[1:]
	m.signal()
	return m.given, true
}

func (m *messages) readEvent(context.Context, *ipmb.Request) ([]byte, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.event.data == nil {
		return nil, ipmb.ErrEmpty
	}
	out := m.event.data
	m.drop(&m.event)
	m.signal()
	return out, nil
}
