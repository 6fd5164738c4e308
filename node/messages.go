package node

import (
	"bytes"
	"context"
	"sync"

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

	// defaultEnables is the state of a controller that was never set: the log
	// is on, the guest's interrupts are its driver's to enable.
	defaultEnables = enableSEL

	// queueLimit bounds the receive message queue. Linux has 64 sequence
	// numbers per target and empties the queue at each interrupt; what comes
	// above the limit is dropped, as a controller out of buffers does, and its
	// sender tries again.
	queueLimit = 256
)

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
	save func(enables byte) error

	mu      sync.Mutex
	line    attention
	enables byte
	queue   [][]byte // each: channel and privilege, then the message without its first address
	event   []byte   // one SEL record, nil when the buffer is empty
}

func newMessages(enables byte, save func(byte) error) *messages {
	return &messages{enables: enables, save: save}
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
	if m.event != nil {
		f |= flagEventBuffer
	}
	return f
}

// push puts a frame that is addressed to this controller into the receive
// message queue: all of it but the leading address (IPMI 2.0 §22.6). It
// reports false when the queue is full.
func (m *messages) push(f ipmb.Frame) bool {
	raw, err := f.AppendBinary([]byte{ipmb.ChannelIPMB})
	if err != nil {
		return false
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(m.queue) >= queueLimit {
		return false
	}
	m.queue = append(m.queue, append(raw[:1], raw[2:]...))
	m.signal()
	if m.line != nil && len(m.queue) > 1 {
		m.line.Remind()
	}
	return true
}

// bufferEvent puts a SEL record into the event message buffer. It keeps the
// one that is there: the buffer holds the oldest event not yet read.
func (m *messages) bufferEvent(record []byte) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.enables&enableEventBuffer == 0 || m.event != nil {
		return
	}
	m.event = bytes.Clone(record)
	m.signal()
}

// logs reports whether the guest left the SEL switched on.
func (m *messages) logs() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.enables&enableSEL != 0
}

// pending gives a copy of the queue, and restore puts one back.
func (m *messages) pending() [][]byte {
	m.mu.Lock()
	defer m.mu.Unlock()
	return append([][]byte(nil), m.queue...)
}

func (m *messages) restore(queue [][]byte) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.queue = append(queue, m.queue...)
	m.signal()
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

func (m *messages) clearFlags(_ context.Context, req *ipmb.Request) ([]byte, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if req.Data[0]&flagQueue != 0 {
		m.queue = nil
	}
	if req.Data[0]&flagEventBuffer != 0 {
		m.event = nil
	}
	m.signal()
	return nil, nil
}

func (m *messages) getFlags(context.Context, *ipmb.Request) ([]byte, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return []byte{m.flags()}, nil
}

func (m *messages) getMessage(context.Context, *ipmb.Request) ([]byte, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(m.queue) == 0 {
		return nil, ipmb.ErrEmpty
	}
	out := m.queue[0]
	m.queue = m.queue[1:]
	m.signal()
	return out, nil
}

func (m *messages) readEvent(context.Context, *ipmb.Request) ([]byte, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.event == nil {
		return nil, ipmb.ErrEmpty
	}
	out := m.event
	m.event = nil
	m.signal()
	return out, nil
}
