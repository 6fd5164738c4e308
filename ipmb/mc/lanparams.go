package mc

import (
	"bytes"
	"encoding/binary"

	"github.com/midplane-project/midplane/ipmb"
)

// LAN configuration parameters (IPMI 2.0 §23.2, table 23-4) that a door acts by.
const (
	LANAuthSupport      = 1
	LANAuthEnables      = 2
	LANAddress          = 3
	LANSource           = 4
	LANMAC              = 5
	LANMask             = 6
	LANHeader           = 7
	LANPort             = 8
	LANSecondPort       = 9
	LANARPControl       = 10
	LANARPInterval      = 11
	LANGateway          = 12
	LANGatewayMAC       = 13
	LANBackup           = 14
	LANBackupMAC        = 15
	LANCommunity        = 16
	LANDestinations     = 17
	LANDestinationType  = 18
	LANDestination      = 19
	LANVLAN             = 20
	LANVLANPriority     = 21
	LANSuiteCount       = 22
	LANSuites           = 23
	LANSuitePrivileges  = 24
	LANDestinationVLAN  = 25
	LANv6Support        = 50
	LANv6Enables        = 51
	LANv6TrafficClass   = 52
	LANv6HopLimit       = 53
	LANv6FlowLabel      = 54
	LANv6Status         = 55
	LANv6Address        = 56
	LANv6RouterControl  = 64
	LANv6Router1        = 65 // address; then MAC, prefix length, prefix
	LANv6Router2        = 69
	LANv6DynamicRouters = 73
)

// AlertDestinations is how many destinations alerts may have, beside number 0,
// which Alert Immediate uses.
const AlertDestinations = 4

// Values of LAN parameters.
const (
	sourceStatic   = 1
	sourceLast     = 4
	vlanEnable     = 0x8000
	vlanMask       = 0x8FFF
	vlanLast       = 4094
	ipv6Both       = 0x02
	ipv6Support    = 0x07 // alone, with IPv4, and for alerts
	ipv6Alone      = 2    // the last value of the enables
	ipv6Enabled    = 0x80
	ipv6Active     = 0x00
	ipv6Disabled   = 0x01
	formatIPv4     = 0x00
	formatIPv6     = 0x10
	destinationV4  = 13
	destinationV6  = 18
	communityLen   = 18
	arpResponses   = 0x02
	arpGratuitous  = 0x01
	prefixLast     = 128
	portRMCP       = 623
	portRMCPSecure = 664
)

// Parameter 26, the bad password threshold, is not there: who guesses has a rate
// (see ipmb/rmcp), and disabling a user would let whoever guesses keep him out.

// lanParameters is the table of a LAN channel whose interface has the given
// hardware address, and whose logins are those that are offered.
func lanParameters(mac [6]byte, logins LANLogins) []Parameter {
	types := logins.AuthTypes
	table := []Parameter{
		{Number: LANAuthSupport, ReadOnly: true, Default: []byte{types}},
		{Number: LANAuthEnables, Data: ipmb.Exactly(authLevels), Default: bytes.Repeat([]byte{types}, authLevels), Check: only(types)},
		{Number: LANAddress, Data: ipmb.Exactly(4), Default: make([]byte, 4), Check: unicast},
		{Number: LANSource, Data: ipmb.Exactly(1), Default: []byte{sourceStatic}, Check: within(sourceStatic, sourceLast)},
		{Number: LANMAC, Data: ipmb.Exactly(6), Default: mac[:], Check: oneStation},
		{Number: LANMask, Data: ipmb.Exactly(4), Default: make([]byte, 4), Check: netmask},
		{Number: LANHeader, Data: ipmb.Exactly(3), Default: []byte{0x40, 0x40, 0x10}},
		{Number: LANPort, Data: ipmb.Exactly(2), Default: port(portRMCP), Check: notZero},
		{Number: LANSecondPort, Data: ipmb.Exactly(2), Default: port(portRMCPSecure), Check: notZero},
		{Number: LANARPControl, Data: ipmb.Exactly(1), Default: []byte{0}, Check: only(arpResponses | arpGratuitous)},
		{Number: LANARPInterval, Data: ipmb.Exactly(1), Default: []byte{4}},
		{Number: LANGateway, Data: ipmb.Exactly(4), Default: make([]byte, 4), Check: unicast},
		{Number: LANGatewayMAC, Data: ipmb.Exactly(6), Default: make([]byte, 6), Check: oneStation},
		{Number: LANBackup, Data: ipmb.Exactly(4), Default: make([]byte, 4), Check: unicast},
		{Number: LANBackupMAC, Data: ipmb.Exactly(6), Default: make([]byte, 6), Check: oneStation},
		{Number: LANCommunity, Data: ipmb.Exactly(communityLen), Default: append([]byte("public"), make([]byte, communityLen-6)...)},
		{Number: LANVLAN, Data: ipmb.Exactly(2), Default: make([]byte, 2), Check: vlan},
		{Number: LANVLANPriority, Data: ipmb.Exactly(1), Default: []byte{0}, Check: only(0x07)},
		{Number: LANSuiteCount, ReadOnly: true, Default: []byte{byte(len(offered(logins.Suites)))}},
		{Number: LANSuites, ReadOnly: true, Default: logins.suiteIDs()},
		// By suite id, as ipmitool and FreeIPMI have it; the specification goes by
		// the place in LANSuites. By id suite 17 has no place: it is open to all.
		{Number: LANSuitePrivileges, Data: ipmb.Exactly(9), Default: logins.suitePrivileges(), Check: suitePrivileges},
	}
	return append(append(table, lanDestinations()...), lanIPv6()...)
}

func lanDestinations() []Parameter {
	const sets = AlertDestinations + 1
	return []Parameter{
		{Number: LANDestinations, ReadOnly: true, Default: []byte{AlertDestinations}},
		{Number: LANDestinationType, Sets: sets, Data: ipmb.Exactly(4), Default: make([]byte, 4), Check: destinationType},
		{Number: LANDestination, Sets: sets, Data: ipmb.Between(destinationV4, destinationV6), Default: make([]byte, destinationV4), Check: destination},
		{Number: LANDestinationVLAN, Sets: sets, Data: ipmb.Exactly(4), Default: make([]byte, 4), Check: func(v []byte) error { return only(0x10)(v[1:2]) }},
	}
}

// lanIPv6 is for static addresses: what belongs to DHCPv6 and to addresses
// that a router gives is not there.
func lanIPv6() []Parameter {
	table := []Parameter{
		{Number: LANv6Support, ReadOnly: true, Default: []byte{ipv6Support}},
		{Number: LANv6Enables, Data: ipmb.Exactly(1), Default: []byte{0}, Check: within(0, ipv6Alone)},
		{Number: LANv6TrafficClass, Data: ipmb.Exactly(1), Default: []byte{0}},
		{Number: LANv6HopLimit, Data: ipmb.Exactly(1), Default: []byte{64}},
		{Number: LANv6FlowLabel, Data: ipmb.Exactly(3), Default: make([]byte, 3), Check: func(v []byte) error { return only(0x0F)(v[:1]) }},
		{Number: LANv6Status, ReadOnly: true, Default: []byte{1, 0, 0}}, // one static address, no dynamic ones
		{Number: LANv6Address, Sets: 1, Data: ipmb.Exactly(20), Default: v6Status(make([]byte, 20)), Check: v6Address, Complete: v6Status},
		{Number: LANv6RouterControl, Data: ipmb.Exactly(1), Default: []byte{0}, Check: only(0x01)},
		{Number: LANv6DynamicRouters, ReadOnly: true, Default: []byte{0}},
	}
	for _, first := range []uint8{LANv6Router1, LANv6Router2} {
		table = append(table,
			Parameter{Number: first, Data: ipmb.Exactly(16), Default: make([]byte, 16)},
			Parameter{Number: first + 1, Data: ipmb.Exactly(6), Default: make([]byte, 6), Check: oneStation},
			Parameter{Number: first + 2, Data: ipmb.Exactly(1), Default: []byte{0}, Check: within(0, prefixLast)},
			Parameter{Number: first + 3, Data: ipmb.Exactly(16), Default: make([]byte, 16)})
	}
	return table
}

func port(n uint16) []byte { return binary.LittleEndian.AppendUint16(nil, n) }
