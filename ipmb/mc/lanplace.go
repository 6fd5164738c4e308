package mc

import (
	"net"
	"net/netip"
)

// Values of the parameters that say where a door is.
const (
	ipv6Or4  = 0x05 // one of both at a time, and for alerts
	ipv6Only = 1
	ipv4Bits = 32
)

// LANPlace gives the parameters that tell of a door at an address, with its
// network as this host has it.
func LANPlace(a netip.AddrPort) map[uint8][]byte {
	out := map[uint8][]byte{LANPort: port(a.Port()), LANv6Support: {ipv6Or4}}
	n := prefixLen(a.Addr())
	if a.Addr().Is4() {
		out[LANAddress], out[LANMask] = a.Addr().AsSlice(), net.CIDRMask(n, ipv4Bits)
		return out
	}
	v := append([]byte{0, ipv6Enabled}, a.Addr().AsSlice()...)
	out[LANv6Enables], out[LANv6Address] = []byte{ipv6Only}, append(v, byte(n), ipv6Active)
	return out
}

// prefixLen is that of the network which an address of this host's is in.
func prefixLen(a netip.Addr) int {
	list, _ := net.InterfaceAddrs()
	for _, one := range list {
		if n, ok := one.(*net.IPNet); ok && n.Contains(a.AsSlice()) {
			ones, _ := n.Mask.Size()
			return ones
		}
	}
	return a.BitLen()
}
