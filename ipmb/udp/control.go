package udp

import (
	"net/netip"
	"syscall"
	"unsafe"
)

// ControlLen has room for the control messages that come with a datagram to a wide
// socket.
const ControlLen = 64

// Where the addresses stand in ip(7)'s in_pktinfo and ipv6(7)'s in6_pktinfo.
const (
	localIn4 = 4
	localIn6 = 0
)

// cameTo is the address of this host's that a datagram came to; not valid if the
// control messages do not tell.
func cameTo(control []byte) netip.Addr {
	for len(control) >= syscall.SizeofCmsghdr {
		h := (*syscall.Cmsghdr)(unsafe.Pointer(&control[0]))
		size := int(h.Len)
		if size < syscall.SizeofCmsghdr || size > len(control) {
			break
		}
		data := control[syscall.CmsgLen(0):size]
		switch {
		case h.Level == syscall.IPPROTO_IP && h.Type == syscall.IP_PKTINFO && len(data) >= syscall.SizeofInet4Pktinfo:
			return netip.AddrFrom4([4]byte(data[localIn4:]))
		case h.Level == syscall.IPPROTO_IPV6 && h.Type == syscall.IPV6_PKTINFO && len(data) >= syscall.SizeofInet6Pktinfo:
			return netip.AddrFrom16([16]byte(data[localIn6:])).Unmap()
		}
		control = control[min(syscall.CmsgSpace(len(data)), len(control)):]
	}
	return netip.Addr{}
}

// control has a datagram sent from an address.
func (c *Conn) control(at netip.Addr) []byte {
	if c.v6 {
		a := at.As16()
		return message(syscall.IPPROTO_IPV6, syscall.IPV6_PKTINFO, syscall.SizeofInet6Pktinfo, localIn6, a[:])
	}
	a := at.As4()
	return message(syscall.IPPROTO_IP, syscall.IP_PKTINFO, syscall.SizeofInet4Pktinfo, localIn4, a[:])
}

// message is a control message that has an address in it.
func message(level, kind int32, size, where int, address []byte) []byte {
	b := make([]byte, syscall.CmsgSpace(size))
	h := (*syscall.Cmsghdr)(unsafe.Pointer(&b[0]))
	h.Level, h.Type = level, kind
	h.SetLen(syscall.CmsgLen(size))
	copy(b[syscall.CmsgLen(0)+where:], address)
	return b
}
