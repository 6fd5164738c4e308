package rmcp

import (
	"bytes"
	"net/netip"
	"testing"
)

func TestNeighbour(t *testing.T) {
	table := []byte("IP address       HW type     Flags       HW address            Mask     Device\n" +
		"192.0.2.10       0x1         0x2         52:54:00:12:34:56     *        eth0\n" +
		"192.0.2.1        0x1         0x0         00:00:00:00:00:00     *        eth0\n" +
		"192.0.2.2        0x1         0x2         nonsense              *        eth0\n" +
		"192.0.2.3\n")
	for addr, want := range map[string][macLen]byte{
		"192.0.2.10": {0x52, 0x54, 0, 0x12, 0x34, 0x56},
		"192.0.2.1":  {}, "192.0.2.2": {}, "192.0.2.3": {}, "192.0.2.4": {}, "2001:db8::1": {},
	} {
		if got := neighbour(table, netip.MustParseAddr(addr)); got != want {
			t.Errorf("%s: % x, want % x", addr, got, want)
		}
	}
}

// A console's address is there if four bytes can hold it; its port in any case.
func TestInfoAddresses(t *testing.T) {
	for peer, want := range map[string][]byte{
		"127.0.0.1:513":          {127, 0, 0, 1, 0, 0, 0, 0, 0, 0, 1, 2},
		"[::ffff:127.0.0.1]:513": {127, 0, 0, 1, 0, 0, 0, 0, 0, 0, 1, 2},
		"[::1]:513":              {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 2},
		"[2001:db8::1]:513":      {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 2},
	} {
		s := &session{handle: 7, peer: netip.MustParseAddrPort(peer)}
		if got := s.appendInfo(make([]byte, 6)); got[0] != 7 || !bytes.Equal(got[6:], want) {
			t.Errorf("%s: % x, want % x", peer, got, want)
		}
	}
}
