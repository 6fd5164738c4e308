package node

import (
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/midplane-project/midplane/internal/jsonfile"
	"github.com/midplane-project/midplane/ipmb"
	"github.com/midplane-project/midplane/ipmb/mc"
	"github.com/midplane-project/midplane/ipmb/rmcp"
)

// lanAddressFile, in a node's directory, says where its LAN door is.
const lanAddressFile = "lan-address"

// lanPlace is where the LAN door listens, as the parameters of its channel have
// it: they tell the truth, and who sets them moves the door, within what the
// configuration allows.
type lanPlace struct {
	lan     *mc.LAN
	sol     *mc.SOL
	allowed rmcp.Places
	door    *rmcp.Mover // nowhere: the node has no LAN door
	file    string      // for the lab to see where it is
	log     *slog.Logger
}

// Completion codes of what may not be set. It is never CCh, at which ipmitool
// asks ten times more, three seconds apart.
const (
	errLANForbidden = ipmb.ErrParameterRange
	errLANInUse     = ipmb.ErrState
	errLANFixed     = ipmb.ErrParamReadOnly
)

// lanRefusal is why a parameter is not set.
type lanRefusal struct {
	code ipmb.CompletionCode
	why  string
}

func (r *lanRefusal) Error() string { return r.why }
func (r *lanRefusal) Unwrap() error { return r.code }

func forbidden(format string, args ...any) error {
	return &lanRefusal{errLANForbidden, fmt.Sprintf(format, args...)}
}

// Values of parameters that place a door.
const (
	lanStatic   = 1
	vlanEnabled = 0x80 // in its second byte
	v6Alone     = 1
	v6Enabled   = 0x80
	v6AddressAt = 2
)

// lanPlaceNumbers are the parameters that say where the door listens.
var lanPlaceNumbers = []uint8{mc.LANAddress, mc.LANMask, mc.LANPort, mc.LANv6Enables, mc.LANv6Address}

// where gives the address that parameters name.
func where(get func(number, set uint8) []byte) netip.AddrPort {
	port := binary.LittleEndian.Uint16(get(mc.LANPort, 0))
	if get(mc.LANv6Enables, 0)[0] == v6Alone {
		v := get(mc.LANv6Address, 0)
		if v[1]&v6Enabled == 0 {
			return netip.AddrPortFrom(netip.IPv6Unspecified(), port)
		}
		return netip.AddrPortFrom(netip.AddrFrom16([16]byte(v[v6AddressAt:])), port)
	}
	return netip.AddrPortFrom(netip.AddrFrom4([4]byte(get(mc.LANAddress, 0))), port)
}

// preset has the parameters tell of an address until somebody sets them.
func (p *lanPlace) preset(a netip.AddrPort) {
	for number, v := range mc.LANPlace(a) {
		p.lan.Preset(number, v)
	}
}

// Check implements mc.ParameterHook. Within a set, address and port come one
// after the other: each is looked at alone, and both at the commit.
func (p *lanPlace) Check(number uint8, v []byte) error {
	if slices.Equal(v, p.lan.Shown(number, 0)) {
		return nil
	}
	switch number {
	case mc.LANAddress:
		return p.checkPlace(number, v, p.allowed.AllowAddr(netip.AddrFrom4([4]byte(v))))
	case mc.LANPort:
		return p.checkPlace(number, v, p.allowed.AllowPort(binary.LittleEndian.Uint16(v)))
	case mc.LANv6Address:
		off := v[1]&v6Enabled == 0
		return p.checkPlace(number, v, off || p.allowed.AllowAddr(netip.AddrFrom16([16]byte(v[v6AddressAt:]))))
	case mc.LANv6Enables:
		if v[0] > v6Alone {
			return forbidden("a door has one address, of IPv4 or of IPv6")
		}
	case mc.LANSource:
		if v[0] != lanStatic {
			return forbidden("nobody gives the door an address: its source is static")
		}
	case mc.LANVLAN:
		if v[1]&vlanEnabled != 0 {
			return forbidden("the door is in no VLAN")
		}
	case mc.LANMAC:
		return &lanRefusal{errLANFixed, "the hardware address is fixed"}
	}
	return nil
}

// checkPlace refuses a value that fits no place that is allowed, and one by
// which the door would be where it cannot listen.
func (p *lanPlace) checkPlace(number uint8, v []byte, allowed bool) error {
	to := where(func(n, set uint8) []byte {
		if n == number {
			return v
		}
		return p.lan.Shown(n, set)
	})
	if !allowed {
		return p.notAllowed(to)
	}
	if !p.allowed.Allow(to) {
		return nil // the rest may follow
	}
	return inUse(to, p.door.Try(to))
}

func (p *lanPlace) notAllowed(to netip.AddrPort) error {
	return forbidden("%s is not among the addresses that the door may listen on", to)
}

func inUse(to netip.AddrPort, err error) error {
	if err == nil {
		return nil
	}
	return &lanRefusal{errLANInUse, fmt.Sprintf("%s: %v", to, err)}
}

// Prepare implements mc.ParameterActor.
func (p *lanPlace) Prepare(_ []uint8, get func(number, set uint8) []byte) (func(kept bool), error) {
	to, from := where(get), p.door.At()
	switch {
	case to == from || !from.IsValid() && to == nowhere:
		return nil, nil
	case !p.allowed.Allow(to):
		return nil, p.notAllowed(to)
	}
	done, err := p.door.Prepare(to)
	if err != nil || done == nil {
		return nil, inUse(to, err)
	}
	return func(kept bool) {
		done(kept)
		if kept {
			p.sol.Follow(to)
			p.log.Info("LAN door moved", "from", from.String(), "to", to.String())
			p.tell()
		}
	}, nil
}

// nowhere is what the parameters say of a node without a LAN door.
var nowhere = netip.AddrPortFrom(netip.IPv4Unspecified(), 623)

// Changed implements mc.ParameterHook.
func (p *lanPlace) Changed(uint8) {}

// Log is the node's log, for those who serve it.
func (n *Node) Log() *slog.Logger { return n.log }

// auditLAN notes who was not let to set a parameter.
func (n *Node) auditLAN(req *ipmb.Request, err error) {
	var r *lanRefusal
	if !errors.As(err, &r) {
		return
	}
	o := req.Origin
	n.log.Warn("LAN setting refused", "parameter", req.Data[1], "why", r.why, "code", r.code,
		"by", o.Speaker.String(), "door", o.Door.String(), "privilege", o.Privilege.String(), "session", o.Session, "from", o.Source.String())
}

// tell writes down where the door is.
func (p *lanPlace) tell() {
	if err := jsonfile.Replace(p.file, []byte(p.door.At().String()+"\n")); err != nil {
		p.log.Warn("where the LAN door is was not written down", "err", err)
	}
}

// LANAddress reads where the LAN door of the node with this directory is, or
// was last; not valid if that is not known.
func LANAddress(dir string) netip.AddrPort {
	text, err := os.ReadFile(filepath.Join(dir, lanAddressFile))
	if err != nil {
		return netip.AddrPort{}
	}
	a, _ := netip.ParseAddrPort(strings.TrimSpace(string(text)))
	return a
}

// open opens the door where the parameters say, if that is still allowed and
// can be, else at first. Then they say so.
func (p *lanPlace) open(first netip.AddrPort) error {
	if err := p.openAt(first); err != nil {
		return err
	}
	p.sol.Follow(p.door.At())
	return nil
}

func (p *lanPlace) openAt(first netip.AddrPort) error {
	p.preset(first)
	if to := where(p.lan.Get); to != first {
		err := p.notAllowed(to)
		if p.allowed.Allow(to) {
			err = p.door.Open(to)
		}
		if err == nil {
			return nil
		}
		p.log.Error("LAN door is not where it was set to be", "address", to.String(), "err", err, "instead", first.String())
		if err := p.forget(); err != nil {
			return err
		}
	}
	if err := p.door.Open(first); err != nil {
		return err
	}
	if at := p.door.At(); at != first { // the system chose the port
		p.preset(at)
		p.allowed = append(slices.Clone(p.allowed), rmcp.At(at))
	}
	return nil
}

// forget lets the parameters say what they say by themselves.
func (p *lanPlace) forget() error { return p.lan.Unset(lanPlaceNumbers...) }
