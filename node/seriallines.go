package node

import (
	"github.com/midplane-project/midplane/ipmb"
	"github.com/midplane-project/midplane/ipmb/mc"
	"github.com/midplane-project/midplane/ipmb/rmcp"
	"github.com/midplane-project/midplane/node/serial"
)

// A channel of the LAN or a serial line as system management software sees it: a
// message from there comes by Get Message, and one to there goes by Send Message,
// each with a session handle before the whole frame, as Linux has it
// for channels of the media LAN and serial (ipmi_msghandler.c).
const (
	lineHeader     = 2 // channel and privilege, session handle
	privilegeShift = 4
)

// lines are what is at the other end of the serial ports and the LAN door, by
// their channels.
type lines interface {
	Send(channel, handle uint8, f ipmb.Frame) error
}

// nodeLines are a node's.
type nodeLines struct {
	serials []*serialPort
	lan     *rmcp.Sessions
}

// Send sends a message to who is on a port's line, or to a session of the LAN
// door's; CCh for no such channel.
func (l nodeLines) Send(channel, handle uint8, f ipmb.Frame) error {
	if channel == mc.LANChannel.Number {
		return l.lan.Send(handle, f)
	}
	for _, p := range l.serials {
		if p.channel.Number == channel {
			return p.door.Send(handle, f)
		}
	}
	return ipmb.ErrInvalidField
}

// pushLine puts a message from a serial line or a LAN session into the receive message queue.
func (m *messages) pushLine(channel uint8, p ipmb.Privilege, handle uint8, f ipmb.Frame) bool {
	data, err := f.AppendBinary([]byte{byte(p)<<privilegeShift | channel, handle})
	return err == nil && m.enqueue(data, nil)
}

// lanLetter reports whether a message for the guest is of a LAN session.
func lanLetter(data []byte) bool {
	return len(data) > 0 && data[0]&channelMask == mc.LANChannel.Number
}

// forSoftware is how sessions of the LAN door reach the guest's software; nil
// where there is no guest.
func (c *Controller) forSoftware() func(ipmb.Privilege, uint8, ipmb.Frame) bool {
	if !c.id.VM {
		return nil
	}
	return func(p ipmb.Privilege, handle uint8, f ipmb.Frame) bool {
		return c.mail.pushLine(mc.LANChannel.Number, p, handle, f)
	}
}

// toLine sends a message of the own guest's software to a serial line or
// a LAN session.
func (b *bridge) toLine(req *ipmb.Request) error {
	d := req.Data
	switch {
	case b.lines == nil || req.Origin.Door != ipmb.DoorSystem || d[0]&^channelMask != 0:
		return ipmb.ErrInvalidField
	case len(d) < lineHeader+ipmb.MinFrameLen:
		return ipmb.ErrLength
	}
	f, err := ipmb.ParseFrame(d[lineHeader:])
	if err != nil {
		return ipmb.ErrInvalidField
	}
	return b.lines.Send(d[0]&channelMask, d[1], f)
}

// lineSession is the session that is open on a line.
type lineSession struct {
	serial.Session
	port *serialPort
}

// lineSessions are those that are open.
func (a *access) lineSessions() (out []lineSession) {
	for _, p := range a.lines {
		if s, open := p.door.Session(); open {
			out = append(out, lineSession{s, p})
		}
	}
	return out
}

// lineSession finds one, nil for none.
func (a *access) lineSession(is func(lineSession) bool) *lineSession {
	for _, s := range a.lineSessions() {
		if is(s) {
			return &s
		}
	}
	return nil
}

// appendInfo completes Get Session Info's answer (IPMI 2.0 §22.20).
func (s lineSession) appendInfo(b []byte) []byte {
	b[0] = s.Handle
	b = append(b, s.User, byte(s.Privilege), s.port.channel.Number)
	return append(b, make([]byte, serialSessionTail)...)
}
