package mc

import (
	"encoding/binary"
	"math/bits"

	"github.com/midplane-project/midplane/ipmb"
)

// valid makes a condition an error.
func valid(ok bool) error {
	if ok {
		return nil
	}
	return ipmb.ErrInvalidField
}

// only permits bytes that have no bits but these.
func only(mask byte) func([]byte) error {
	return func(v []byte) error {
		for _, b := range v {
			if b&^mask != 0 {
				return ipmb.ErrInvalidField
			}
		}
		return nil
	}
}

// within permits a first byte from lo to hi.
func within(lo, hi byte) func([]byte) error {
	return func(v []byte) error { return valid(v[0] >= lo && v[0] <= hi) }
}

func notZero(v []byte) error { return valid(v[0]|v[1] != 0) }

// unicast permits 0.0.0.0, which is none, and what one host can have.
func unicast(v []byte) error { return valid(v[0] < 224) }

// oneStation refuses a hardware address of many: its group bit.
func oneStation(v []byte) error { return valid(v[0]&0x01 == 0) }

// netmask permits ones that are followed by zeros.
func netmask(v []byte) error {
	m := binary.BigEndian.Uint32(v)
	return valid(bits.LeadingZeros32(^m)+bits.TrailingZeros32(m) >= 32)
}

func vlan(v []byte) error {
	n := binary.LittleEndian.Uint16(v)
	id := n &^ vlanEnable
	return valid(n&^vlanMask == 0 && id <= vlanLast && (id > 0 || n&vlanEnable == 0))
}

// suitePrivileges permits nine bytes: a reserved one and a level for each of
// 16 suites, 0 for one that is not to be used.
func suitePrivileges(v []byte) error {
	for _, b := range v[1:] {
		if b&0x0F > byte(ipmb.PrivilegeOEM) || b>>4 > byte(ipmb.PrivilegeOEM) {
			return ipmb.ErrInvalidField
		}
	}
	return valid(v[0] == 0)
}

// destinationType permits PET traps and the two OEM types, acknowledged or not:
// selector, type, seconds to wait for an acknowledgement, retries.
func destinationType(v []byte) error {
	kind := v[1] & 0x07
	return valid(v[1]&0x78 == 0 && (kind == 0 || kind >= 6) && v[3]&^0x07 == 0)
}

// destination permits an IPv4 address with gateway selector and hardware
// address, or an IPv6 address.
func destination(v []byte) error {
	switch v[1] {
	case formatIPv4:
		return valid(len(v) == destinationV4 && v[2]&^0x01 == 0 && v[3] < 224)
	case formatIPv6:
		return valid(len(v) == destinationV6)
	}
	return ipmb.ErrInvalidField
}

// v6Address permits a static address, the only source that there is: selector,
// enable and source, address, prefix length, status.
func v6Address(v []byte) error { return valid(v[1]&^ipv6Enabled == 0 && v[18] <= prefixLast) }

// v6Status fills in what only the controller knows of an address: its status.
func v6Status(v []byte) []byte {
	v[19] = ipv6Disabled
	if v[1]&ipv6Enabled != 0 {
		v[19] = ipv6Active
	}
	return v
}
