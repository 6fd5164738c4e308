package rmcp

import (
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
)

// Place is what a door may listen on by one entry of a list: the addresses of
// a prefix, with a range of ports.
type Place struct {
	Prefix      netip.Prefix
	First, Last uint16
}

// ParsePlace reads IP:PORT or CIDR:PORT, with FIRST-LAST for a range of ports.
// An IPv6 address is in brackets, with its prefix length if it has one.
func ParsePlace(s string) (Place, error) {
	bad := fmt.Errorf("%q: want IP:PORT, IP:FIRST-LAST or CIDR:PORT", s)
	at := strings.LastIndexByte(s, ':')
	if at < 0 {
		return Place{}, bad
	}
	host, ports := s[:at], s[at+1:]
	inner, bracketed := strings.CutPrefix(host, "[")
	if bracketed {
		if host, bracketed = strings.CutSuffix(inner, "]"); !bracketed {
			return Place{}, bad
		}
	}
	prefix, err := parsePrefix(host)
	if err != nil || prefix.Addr().Is4() == bracketed {
		return Place{}, bad
	}
	first, last, isRange := strings.Cut(ports, "-")
	if !isRange {
		last = first
	}
	p := Place{Prefix: prefix}
	if p.First, err = parsePort(first); err == nil {
		p.Last, err = parsePort(last)
	}
	if err != nil || p.First > p.Last {
		return Place{}, bad
	}
	return p, nil
}

func parsePrefix(s string) (netip.Prefix, error) {
	if strings.Contains(s, "/") {
		p, err := netip.ParsePrefix(s)
		return p.Masked(), err
	}
	a, err := netip.ParseAddr(s)
	if err != nil || a.Zone() != "" || a.Is4In6() {
		return netip.Prefix{}, fmt.Errorf("%q is no address", s)
	}
	return netip.PrefixFrom(a, a.BitLen()), nil
}

func parsePort(s string) (uint16, error) {
	n, err := strconv.ParseUint(s, 10, 16)
	if err == nil && n == 0 {
		err = fmt.Errorf("port 0")
	}
	return uint16(n), err
}

// Anywhere reports whether a door may listen at all addresses of the host at once.
func (p Place) Anywhere() bool {
	if p.Prefix.Addr().Is4() {
		return p.Prefix.Contains(netip.IPv4Unspecified())
	}
	return p.Prefix.Contains(netip.IPv6Unspecified())
}

func (p Place) String() string {
	host := p.Prefix.String()
	if p.Prefix.IsSingleIP() {
		host = p.Prefix.Addr().String()
	}
	if p.Prefix.Addr().Is6() {
		host = "[" + host + "]"
	}
	if p.First == p.Last {
		return fmt.Sprintf("%s:%d", host, p.First)
	}
	return fmt.Sprintf("%s:%d-%d", host, p.First, p.Last)
}

// Places are what a door may listen on.
type Places []Place

// ParsePlaces reads a list.
func ParsePlaces(list []string) (out Places, err error) {
	for _, s := range list {
		p, err := ParsePlace(s)
		if err != nil {
			return nil, err
		}
		out = append(out, p)
	}
	return out, nil
}

// At gives the one place of an address.
func At(a netip.AddrPort) Place {
	return Place{Prefix: netip.PrefixFrom(a.Addr(), a.Addr().BitLen()), First: a.Port(), Last: a.Port()}
}

// Allow reports whether a door may listen on an address.
func (ps Places) Allow(a netip.AddrPort) bool {
	return slices.ContainsFunc(ps, func(p Place) bool { return p.Prefix.Contains(a.Addr()) && p.holds(a.Port()) })
}

// AllowAddr reports whether there is a port on which a door may listen there.
func (ps Places) AllowAddr(a netip.Addr) bool {
	return slices.ContainsFunc(ps, func(p Place) bool { return p.Prefix.Contains(a) })
}

// AllowPort reports whether there is an address on which a door may have a port.
func (ps Places) AllowPort(n uint16) bool {
	return slices.ContainsFunc(ps, func(p Place) bool { return p.holds(n) })
}

func (p Place) holds(port uint16) bool { return port >= p.First && port <= p.Last }
