package mc

import (
	"context"
	"encoding/binary"
	"fmt"
	"sync"
	"sync/atomic"

	"github.com/midplane-project/midplane/ipmb"
)

// LAN is the configuration of a LAN channel (IPMI 2.0 §23).
type LAN struct {
	*Parameters
	// Count has what Get IP/UDP/RMCP Statistics tells. Whoever moves packets counts.
	Count LANCounters

	channel  uint8
	channels Channels
	records  Records
	mu       sync.Mutex
	quiet    byte // ARPs that are suspended
}

// LANCounters count packets, as IPMI 2.0 §23.4 orders them. They end at FFFFh.
type LANCounters struct {
	Received, HeaderErrors, AddressErrors, Fragments, Sent atomic.Uint64
	UDP, RMCP, Proxied, ProxyDropped                       atomic.Uint64
}

func (c *LANCounters) all() []*atomic.Uint64 {
	return []*atomic.Uint64{
		&c.Received, &c.HeaderErrors, &c.AddressErrors, &c.Fragments, &c.Sent, &c.UDP, &c.RMCP, &c.Proxied, &c.ProxyDropped,
	}
}

// OpenLAN reads the configuration of a LAN channel. Without logins they are by
// RMCP+ with [CipherSuites].
func OpenLAN(channels Channels, channel uint8, mac [6]byte, r Records, logins ...LANLogins) (*LAN, error) {
	var offer LANLogins
	if len(logins) > 0 {
		offer = logins[0]
	}
	return openLAN(channels, channel, lanParameters(mac, offer), r)
}

func openLAN(channels Channels, channel uint8, table []Parameter, r Records) (*LAN, error) {
	p, err := OpenParameters(r, fmt.Sprintf("lan/%d", channel), table)
	if err != nil {
		return nil, err
	}
	l := &LAN{Parameters: p, channel: channel, channels: channels, records: r}
	quiet, err := r.Get(l.quietRecord())
	if err != nil {
		return nil, err
	}
	if len(quiet) == 1 {
		l.quiet = quiet[0]
	}
	return l, nil
}

func (l *LAN) quietRecord() string { return fmt.Sprintf("arp/%d", l.channel) }

// ARPs are those that the controller sends now: as its parameter says and
// nobody suspended (arpResponses, arpGratuitous).
func (l *LAN) arps() byte {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.Get(LANARPControl, 0)[0] &^ l.quiet
}

func (l *LAN) suspend(quiet byte) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if quiet == l.quiet {
		return nil
	}
	if err := l.records.Put(l.quietRecord(), []byte{quiet}); err != nil {
		return err
	}
	l.quiet = quiet
	return nil
}

// Reset is for a reset of the system or its loss of power: a set ends without
// commit, and ARPs go on.
func (l *LAN) Reset() error {
	if err := l.suspend(0); err != nil {
		return err
	}
	return l.Parameters.Reset()
}

// Commands gives the rows of LAN configuration.
func (l *LAN) Commands() []ipmb.Command {
	return append(channelParameters("LAN", l.channels, l.channel, l.Parameters, 0x01, "IPMI 2.0 §23.1", "IPMI 2.0 §23.2"),
		ipmb.Command{
			Name: "Suspend BMC ARPs", NetFn: ipmb.NetFnTransport, Cmd: 0x03, Privilege: ipmb.PrivilegeAdmin,
			Data: ipmb.Exactly(2), Effect: true, Ref: "IPMI 2.0 §23.3", Do: l.suspendARPs,
		},
		ipmb.Command{
			Name: "Get IP/UDP/RMCP Statistics", NetFn: ipmb.NetFnTransport, Cmd: 0x04, Privilege: ipmb.PrivilegeUser,
			Data: ipmb.Exactly(2), Effect: true, Ref: "IPMI 2.0 §23.4", Do: l.statistics,
		})
}

func (l *LAN) suspendARPs(_ context.Context, req *ipmb.Request) ([]byte, error) {
	if err := onChannel(l.channels, req, l.channel); err != nil {
		return nil, err
	}
	if err := l.suspend(req.Data[1] & (arpResponses | arpGratuitous)); err != nil {
		return nil, err
	}
	return []byte{l.arps()}, nil
}

const clearStatistics = 0x01

// statistics gives the counters. Whoever may not configure the LAN does not
// clear them.
func (l *LAN) statistics(_ context.Context, req *ipmb.Request) ([]byte, error) {
	if err := onChannel(l.channels, req, l.channel); err != nil {
		return nil, err
	}
	reset := req.Data[1]&clearStatistics != 0
	if reset && req.Origin.Privilege < ipmb.PrivilegeAdmin {
		return nil, ipmb.ErrPrivilege
	}
	var out []byte
	for _, c := range l.Count.all() {
		if reset {
			c.Store(0)
		}
		out = binary.LittleEndian.AppendUint16(out, uint16(min(c.Load(), 0xFFFF)))
	}
	return out, nil
}

// onChannel checks that a request means the given channel.
func onChannel(channels Channels, req *ipmb.Request, want uint8) error {
	c, err := channels.find(req, req.Data[0])
	if err == nil && c.Number != want {
		err = ipmb.ErrInvalidField
	}
	return err
}

// channelParameters gives the Set and Get commands of a channel's table, which
// begin with the channel. Get follows Set.
func channelParameters(name string, channels Channels, channel uint8, p *Parameters, set ipmb.Cmd, setRef, getRef string) []ipmb.Command {
	return []ipmb.Command{
		{
			Name: "Set " + name + " Configuration Parameters", NetFn: ipmb.NetFnTransport, Cmd: set, Privilege: ipmb.PrivilegeAdmin,
			Data: ipmb.AtLeast(3), Effect: true, Ref: setRef,
			Do: func(_ context.Context, req *ipmb.Request) ([]byte, error) {
				if err := onChannel(channels, req, channel); err != nil {
					return nil, err
				}
				err := p.write(req.Data[1], req.Data[2:])
				if err != nil && p.Refused != nil {
					p.Refused(req, err)
				}
				return nil, err
			},
		},
		{
			Name: "Get " + name + " Configuration Parameters", NetFn: ipmb.NetFnTransport, Cmd: set + 1, Privilege: ipmb.PrivilegeOperator,
			Data: ipmb.Exactly(4), Ref: getRef,
			Do: func(_ context.Context, req *ipmb.Request) ([]byte, error) {
				if err := onChannel(channels, req, channel); err != nil {
					return nil, err
				}
				return p.read(req.Data)
			},
		},
	}
}
