// Package decode tells messages in one line each, for people who watch a bus:
//
//	12:00:00.345 0x82 → Send Message → [0x84 Get Device ID]
//	12:00:00.346 IPMB-A 0x82 → 0x84 #5 Get Device ID
//	12:00:00.347 IPMB-A 0x84 → 0x82 #5 Get Device ID: ok 20 81 00
//	12:00:00.348 0x82 ← Get Message: ok ← [0x84 Get Device ID: ok 20 81 00]
//
// An arrow to the right goes to the controller whose system interface it is;
// #5 is a sequence number. Passwords and keys are masked.
package decode

import (
	"fmt"
	"strings"
	"time"

	"github.com/midplane-project/midplane/ipmb"
	"github.com/midplane-project/midplane/ipmb/redact"
)

// Kind says what an entry's bytes are.
type Kind uint8

// Kinds.
const (
	KindSystem Kind = 1 // netFn/LUN, command, data as a system interface carries them
	KindIPMB   Kind = 2 // a whole frame
	KindNote   Kind = 3 // text: a hardware command, a connection
)

// Entry is one thing that was seen at a door or on the bus.
type Entry struct {
	Time         time.Time
	Controller   ipmb.Addr // whose door it passed; 0 at a switch
	Kind         Kind
	ToController bool // direction at a door
	Bytes        []byte
	Plane        ipmb.Plane // of KindIPMB
}

const (
	timeFormat = "15:04:05.000"
	netFnShift = 2
	lunMask    = 0x03
	systemHead = 2
)

// Line tells an entry in one line without a newline. The time is in e.Time's
// own zone.
func Line(e Entry) string {
	at := e.Time.Format(timeFormat)
	switch e.Kind {
	case KindSystem:
		arrow := "←"
		if e.ToController {
			arrow = "→"
		}
		return fmt.Sprintf("%s %s %s %s", at, e.Controller, arrow, system(redact.System(e.Bytes)))
	case KindIPMB:
		return fmt.Sprintf("%s %s %s", at, e.Plane, busFrame(redact.Frame(e.Bytes)))
	case KindNote:
		return fmt.Sprintf("%s %s %s", at, e.Controller, printable(string(e.Bytes)))
	}
	return fmt.Sprintf("%s %s unknown kind %d", at, e.Controller, e.Kind)
}

func system(b []byte) string {
	if len(b) < systemHead {
		return "too short" + hexData(b)
	}
	m := message{
		netFn: ipmb.NetFn(b[0] >> netFnShift), lun: ipmb.LUN(b[0] & lunMask),
		cmd: ipmb.Cmd(b[1]), data: b[systemHead:], door: true,
	}
	return m.String()
}

func busFrame(raw []byte) string {
	f, err := ipmb.ParseFrame(raw)
	if err != nil {
		return strings.TrimPrefix(err.Error(), "ipmb: ") + hexData(raw)
	}
	return fmt.Sprintf("%s → %s #%d %s", f.From, f.To, f.Seq, frameMessage(f))
}

// frameMessage is the message in a frame; the unit is that of the responder.
func frameMessage(f ipmb.Frame) message {
	lun := f.ToLUN
	if f.IsResponse() {
		lun = f.FromLUN
	}
	return message{netFn: f.NetFn, lun: lun, cmd: f.Cmd, data: f.Data}
}

func hexData(b []byte) string {
	if len(b) == 0 {
		return ""
	}
	return fmt.Sprintf(" % x", b)
}

// printable keeps what a terminal shows safely, on one line.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7F || r >= 0x80 && r < 0xA0 || r == '\u2028' || r == '\u2029' {
			return -1
		}
		return r
	}, strings.ToValidUTF8(s, "?"))
}
