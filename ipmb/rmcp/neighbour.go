package rmcp

import (
	"bytes"
	"net"
	"net/netip"
	"os"
)

// neighbours is where Linux tells which hardware addresses it knows.
const neighbours = "/proc/net/arp"

// neighbour finds the hardware address of a console on the same network in the
// kernel's table: IP address, type, flags, hardware address, mask, device. It is
// all zero for one behind a router, on this host, or of IPv6, which is not there.
func neighbour(table []byte, a netip.Addr) (mac [macLen]byte) {
	for line := range bytes.Lines(table) {
		fields := bytes.Fields(line)
		if len(fields) < 4 || string(fields[0]) != a.String() {
			continue
		}
		if hw, err := net.ParseMAC(string(fields[3])); err == nil && len(hw) == macLen {
			return [macLen]byte(hw)
		}
	}
	return mac
}

// neighbourNow asks the kernel, whose table is a file.
func neighbourNow(file string, a netip.Addr) (mac [macLen]byte) {
	if a.IsLoopback() {
		return mac
	}
	table, err := os.ReadFile(file)
	if err != nil {
		return mac
	}
	return neighbour(table, a)
}
