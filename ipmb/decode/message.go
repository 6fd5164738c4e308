package decode

import (
	"fmt"

	"github.com/midplane-project/midplane/ipmb"
	"github.com/midplane-project/midplane/ipmb/sel"
)

// message is a request or response, wherever it was found.
type message struct {
	netFn ipmb.NetFn
	lun   ipmb.LUN
	cmd   ipmb.Cmd
	data  []byte // of a response with the completion code
	door  bool   // at a system interface
}

func (m message) String() string {
	if m.netFn.IsResponse() {
		return m.response()
	}
	body, rest, ok := ipmb.SplitBody(m.netFn, m.data)
	if !ok {
		rest = m.data
	}
	return m.name(body) + m.inside(rest)
}

func (m message) response() string {
	if len(m.data) == 0 {
		return m.name(0) + ": no completion code"
	}
	code := ipmb.CompletionCode(m.data[0])
	body, rest, ok := ipmb.SplitBody(m.netFn, m.data[1:])
	if !ok {
		rest = m.data[1:]
	}
	s := m.name(body) + ": " + codeText(m.netFn, m.cmd, code)
	if code != ipmb.OK {
		return s + hexData(rest)
	}
	return s + m.inside(rest)
}

func (m message) name(body ipmb.Body) string {
	s := Name(m.netFn, body, m.cmd)
	if m.lun == ipmb.LUNSMS {
		s = fmt.Sprintf("software %02x/%02x", uint8(m.netFn.Request()), uint8(m.cmd)) // its numbers are its own
	} else if m.lun != ipmb.LUNBMC {
		s += fmt.Sprintf(" LUN %d", m.lun)
	}
	return s
}

// inside tells what a message carries, in hex where nothing better is known.
func (m message) inside(data []byte) string {
	if s := m.told(data); s != "" {
		return " " + s
	}
	return hexData(data)
}

// told decodes the messages and events in some commands, "" where it cannot.
func (m message) told(data []byte) string {
	if m.lun != ipmb.LUNBMC {
		return ""
	}
	switch (ipmb.CommandID{NetFn: m.netFn, Cmd: m.cmd}) {
	case ipmb.CommandID{NetFn: ipmb.NetFnApp, Cmd: ipmb.CmdSendMessage}:
		return sentMessage(data)
	case ipmb.CommandID{NetFn: ipmb.NetFnApp.Response(), Cmd: ipmb.CmdSendMessage}:
		return embeddedAnswer(data)
	case ipmb.CommandID{NetFn: ipmb.NetFnApp.Response(), Cmd: ipmb.CmdGetMessage}:
		return fetchedMessage(data)
	case ipmb.CommandID{NetFn: ipmb.NetFnSensor, Cmd: sel.CmdPlatformEvent}:
		return platformEvent(data, m.door)
	case ipmb.CommandID{NetFn: ipmb.NetFnApp.Response(), Cmd: ipmb.CmdReadEventMessageBuffer},
		ipmb.CommandID{NetFn: ipmb.NetFnStorage, Cmd: cmdAddSELEntry}:
		return selRecord(data)
	case ipmb.CommandID{NetFn: ipmb.NetFnStorage.Response(), Cmd: cmdGetSELEntry}:
		return selEntry(data)
	}
	return ""
}

const (
	cmdGetSELEntry ipmb.Cmd = 0x43
	cmdAddSELEntry ipmb.Cmd = 0x44
)

func sentMessage(data []byte) string {
	s, err := ipmb.ParseSendMessage(data)
	if err != nil {
		return ""
	}
	f, err := ipmb.ParseFrame(s.Message)
	if err != nil {
		return ""
	}
	var where string
	if s.Channel != ipmb.ChannelIPMB {
		where = fmt.Sprintf("channel %d ", s.Channel)
	}
	return fmt.Sprintf("→ [%s%s %s]", where, f.To, frameMessage(f))
}

func embeddedAnswer(data []byte) string {
	f, err := ipmb.ParseFrame(data)
	if err != nil {
		return ""
	}
	return fmt.Sprintf("← [%s %s]", f.From, frameMessage(f))
}

// fetchedMessage tells a message from the receive queue, which lacks its
// destination; the header checksum knows it.
func fetchedMessage(data []byte) string {
	if len(data) < 1+ipmb.MinFrameLen-1 || data[0]&0x0F != ipmb.ChannelIPMB {
		return ""
	}
	rest := data[1:]
	own := ipmb.Checksum(rest[:2])
	return embeddedAnswer(append([]byte{own}, rest...))
}

func platformEvent(data []byte, door bool) string {
	if door {
		id, e, err := sel.ParseSystem(data)
		if err != nil {
			return ""
		}
		return fmt.Sprintf("(%s from %s)", sel.DescribeEvent(e), sel.Generator(id))
	}
	e, err := sel.ParseBus(data)
	if err != nil {
		return ""
	}
	return "(" + sel.DescribeEvent(e) + ")"
}

func selRecord(data []byte) string {
	r, err := sel.Parse(data)
	if err != nil {
		return ""
	}
	return "(" + sel.Describe(r) + ")"
}

// selEntry tells a whole record behind the next record's id.
func selEntry(data []byte) string {
	const nextLen = 2
	if len(data) != nextLen+sel.RecordLen {
		return ""
	}
	return fmt.Sprintf("#%d %s", uint16(data[nextLen])|uint16(data[nextLen+1])<<8, selRecord(data[nextLen:]))
}
