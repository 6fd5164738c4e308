// Package pcap writes messages to capture files that Wireshark decodes: the
// classic format with link type 260, LINKTYPE_IPMI_HPM_2.
//
//	[5:4] block type [3:0] channel   seconds 4  milliseconds 2   protocol
//	flags 2: [7] direction [6] IPMB-B [5:0] radial link   length   bytes…
//
// All numbers are little-endian (PICMG HPM.2 table 3-20, as libpcap's
// LINKTYPE_IPMI_HPM_2 and Wireshark's packet-ipmi-trace.c have it). Wireshark
// shows the messages with -o ipmi.dissect_bus_commands:TRUE.
package pcap

import (
	"errors"
	"time"

	"github.com/midplane-project/midplane/ipmb"
)

// LinkType is LINKTYPE_IPMI_HPM_2.
const LinkType = 260

// Block says what a record holds.
type Block uint8

// Blocks.
const (
	BlockMessage Block = 0
	BlockState   Block = 1 // a change of the bus's state
	BlockText    Block = 2 // a remark in ASCII
)

// Protocol says how a message's bytes are framed.
type Protocol uint8

// Protocols. Wireshark 4.0 decodes IPMB, KCS and TMode; messages of BT and
// SSIF are written as KCS, whose framing of a message is theirs too.
const (
	ProtocolNone  Protocol = 0
	ProtocolIPMB  Protocol = 1
	ProtocolKCS   Protocol = 5
	ProtocolTMode Protocol = 9
)

// MaxData is how many bytes a record holds; what is longer is cut.
const MaxData = 255

// Record is one message as it passed a door or a bus, or a remark.
type Record struct {
	Time     time.Time // to the microsecond; milliseconds in the HPM.2 header
	Block    Block
	Channel  uint8 // 4 bits; at the controller that captured
	Protocol Protocol
	Plane    ipmb.Plane // of IPMB
	To       bool       // towards the controller that captured; of KCS: from the host
	Data     []byte     // IPMB: the whole frame; KCS: netFn/LUN, command, data
}

// Errors of the reader.
var (
	ErrFormat = errors.New("pcap: not a little-endian capture with link type 260")
	ErrRecord = errors.New("pcap: broken record")
)

// Lengths and values of the file format.
const (
	fileHeaderLen   = 24
	packetHeaderLen = 16
	traceHeaderLen  = 11
	magic           = 0xA1B2C3D4
	versionMajor    = 2
	versionMinor    = 4
	snapLen         = 65535
)

// Bits of the trace header.
const (
	blockShift  = 4
	blockMask   = 0x03
	channelMask = 0x0F
	planeBBit   = 0x40
	toBit       = 0x80
)
