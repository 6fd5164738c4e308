package mc

import (
	"context"
	"encoding/binary"

	"github.com/midplane-project/midplane/ipmb"
)

// GUID is a UUID in RFC 4122 byte order.
type GUID [16]byte

// Wire gives the GUID as controllers send it: the first three fields with
// their low byte first, as SMBIOS and Linux (guid_t) read it, so that the guest
// sees the same text as dmidecode does.
func (g GUID) Wire() []byte {
	return []byte{
		g[3], g[2], g[1], g[0], g[5], g[4], g[7], g[6],
		g[8], g[9], g[10], g[11], g[12], g[13], g[14], g[15],
	}
}

// Identity is who a controller is.
type Identity struct {
	DeviceID     uint8
	Revision     uint8 // 4 bits
	SDRs         bool  // the controller offers device SDRs
	FirmwareMaj  uint8 // 7 bits
	FirmwareMin  uint8 // BCD
	Manufacturer uint32
	Product      uint16
	Aux          [4]byte
	DeviceGUID   GUID
	SystemGUID   GUID
}

// ipmiVersion is "2.0" in BCD with the digits swapped (IPMI 2.0 §20.1).
const ipmiVersion = 0x02

// Additional device support bits of Get Device ID (IPMI 2.0 §20.1), each set
// when the row that gives it its meaning is registered.
var supportBits = []struct {
	bit byte
	id  ipmb.CommandID
}{
	{0x80, ipmb.CommandID{NetFn: ipmb.NetFnChassis, Cmd: 0x02}}, // chassis device: Chassis Control
	{0x20, ipmb.CommandID{NetFn: ipmb.NetFnSensor, Cmd: 0x00}},  // event generator: Set Event Receiver
	{0x10, ipmb.CommandID{NetFn: ipmb.NetFnSensor, Cmd: 0x02}},  // event receiver: Platform Event
	{0x08, ipmb.CommandID{NetFn: ipmb.NetFnStorage, Cmd: 0x10}}, // FRU inventory: Get FRU Inventory Area Info
	{0x04, ipmb.CommandID{NetFn: ipmb.NetFnStorage, Cmd: 0x43}}, // SEL device: Get SEL Entry
	{0x02, ipmb.CommandID{NetFn: ipmb.NetFnStorage, Cmd: 0x23}}, // SDR repository: Get SDR
	{0x01, ipmb.CommandID{NetFn: ipmb.NetFnSensor, Cmd: 0x2D}},  // sensor device: Get Sensor Reading
}

// SupportBits computes Get Device ID's additional device support byte from
// what the mux really serves.
func SupportBits(m *ipmb.Mux) (bits byte) {
	for _, s := range supportBits {
		if m.Has(s.id.NetFn, s.id.Body, s.id.Cmd) {
			bits |= s.bit
		}
	}
	return bits
}

// AppendDeviceID appends the data of the Get Device ID response, 15 bytes
// after the completion code (IPMI 2.0 §20.1), with the given support byte.
func (i *Identity) AppendDeviceID(b []byte, support byte) []byte {
	rev := i.Revision & 0x0F
	if i.SDRs {
		rev |= 0x80
	}
	b = append(b, i.DeviceID, rev, i.FirmwareMaj&0x7F, i.FirmwareMin, ipmiVersion, support)
	b = append(b, byte(i.Manufacturer), byte(i.Manufacturer>>8), byte(i.Manufacturer>>16))
	b = binary.LittleEndian.AppendUint16(b, i.Product)
	return append(b, i.Aux[:]...)
}

// SelfTest is the result of a controller's self test (IPMI 2.0 §20.4).
type SelfTest struct{ Result, Detail byte }

// Self-test results, and the detail bits of SelfTestFailed.
const (
	SelfTestPassed byte = 0x55
	SelfTestFailed byte = 0x57
	SelfTestFatal  byte = 0x58

	SelfTestSEL      byte = 0x80
	SelfTestSDR      byte = 0x40
	SelfTestFRU      byte = 0x20
	SelfTestIPMB     byte = 0x10
	SelfTestInternal byte = 0x04 // the controller's own storage
)

// Commands gives the identity's rows. mux is asked at each request, so that it
// may be built from these very rows; selfTest runs the controller's checks.
func (i *Identity) Commands(mux func() *ipmb.Mux, selfTest func(context.Context) SelfTest) []ipmb.Command {
	guid := func(g GUID) func(context.Context, *ipmb.Request) ([]byte, error) {
		return func(context.Context, *ipmb.Request) ([]byte, error) { return g.Wire(), nil }
	}
	return []ipmb.Command{
		{
			Name: "Get Device ID", NetFn: ipmb.NetFnApp, Cmd: ipmb.CmdGetDeviceID, Privilege: ipmb.PrivilegeUser,
			Ref: "IPMI 2.0 §20.1",
			Do: func(context.Context, *ipmb.Request) ([]byte, error) {
				return i.AppendDeviceID(make([]byte, 0, 15), SupportBits(mux())), nil
			},
		},
		{
			Name: "Get Self Test Results", NetFn: ipmb.NetFnApp, Cmd: 0x04, Privilege: ipmb.PrivilegeUser,
			Ref: "IPMI 2.0 §20.4",
			Do: func(ctx context.Context, _ *ipmb.Request) ([]byte, error) {
				r := selfTest(ctx)
				return []byte{r.Result, r.Detail}, nil
			},
		},
		{
			Name: "Get Device GUID", NetFn: ipmb.NetFnApp, Cmd: 0x08, Privilege: ipmb.PrivilegeUser,
			Ref: "IPMI 2.0 §20.8", Do: guid(i.DeviceGUID),
		},
		{
			Name: "Get System GUID", NetFn: ipmb.NetFnApp, Cmd: 0x37, Privilege: ipmb.PrivilegeNone,
			Ref: "IPMI 2.0 §22.14", Do: guid(i.SystemGUID),
		},
	}
}
