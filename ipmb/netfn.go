package ipmb

import "fmt"

// NetFn is a 6-bit network function; even for requests, odd for responses.
type NetFn uint8

// Network functions (IPMI 2.0 table 5-1; names as OpenIPMI's ipmi_msgbits.h).
const (
	NetFnChassis   NetFn = 0x00
	NetFnBridge    NetFn = 0x02
	NetFnSensor    NetFn = 0x04 // sensor/event
	NetFnApp       NetFn = 0x06
	NetFnFirmware  NetFn = 0x08
	NetFnStorage   NetFn = 0x0A
	NetFnTransport NetFn = 0x0C
	NetFnGroup     NetFn = 0x2C // group extension; the first data byte is the defining body
	NetFnOEM       NetFn = 0x2E // OEM group; the first three data bytes are an IANA number
)

// IsResponse reports whether n marks a response.
func (n NetFn) IsResponse() bool { return n&1 == 1 }

// Response is the network function that answers n.
func (n NetFn) Response() NetFn { return n | 1 }

// Request is the network function that n answers.
func (n NetFn) Request() NetFn { return n &^ 1 }

var netFnNames = map[NetFn]string{
	NetFnChassis: "Chassis", NetFnBridge: "Bridge", NetFnSensor: "S/E", NetFnApp: "App",
	NetFnFirmware: "Firmware", NetFnStorage: "Storage", NetFnTransport: "Transport",
	NetFnGroup: "Group", NetFnOEM: "OEM",
}

func (n NetFn) String() string {
	name, ok := netFnNames[n.Request()]
	if !ok {
		return fmt.Sprintf("NetFn(0x%02x)", uint8(n))
	}
	if n.IsResponse() {
		return name + "Rs"
	}
	return name
}

// Cmd is a command number within a network function.
type Cmd uint8

func (c Cmd) String() string { return fmt.Sprintf("0x%02x", uint8(c)) }

// LUN is a 2-bit logical unit of a controller.
type LUN uint8

// Logical units (IPMI 2.0 §7.2).
const (
	LUNBMC  LUN = 0 // the controller itself
	LUNOEM1 LUN = 1
	LUNSMS  LUN = 2 // system management software: the receive message queue
	LUNOEM2 LUN = 3
)

// Body is a defining body of a group extension, or an IANA enterprise number
// of an OEM group. Network functions without bodies have Body 0.
type Body uint32

// Defining bodies (IPMI 2.0 table 5-1).
const (
	BodyPICMG Body = 0x00
	BodyVITA  Body = 0x03
	BodyDCMI  Body = 0xDC
)

// bodyLen is how many leading data bytes hold the body.
func bodyLen(n NetFn) int {
	switch n.Request() {
	case NetFnGroup:
		return 1
	case NetFnOEM:
		return 3
	}
	return 0
}

// SplitBody takes the defining body off the data of a message with network
// function n. ok is false when the data is too short to hold it.
func SplitBody(n NetFn, data []byte) (body Body, rest []byte, ok bool) {
	l := bodyLen(n)
	if len(data) < l {
		return 0, nil, false
	}
	for i := range l {
		body |= Body(data[i]) << (8 * i)
	}
	return body, data[l:], true
}

// AppendBody appends the bytes of body as network function n carries them.
func AppendBody(b []byte, n NetFn, body Body) []byte {
	for i := range bodyLen(n) {
		b = append(b, byte(body>>(8*i)))
	}
	return b
}
