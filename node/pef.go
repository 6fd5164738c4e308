package node

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/midplane-project/midplane/ipmb"
	"github.com/midplane-project/midplane/ipmb/mc"
	"github.com/midplane-project/midplane/ipmb/mc/pef"
	"github.com/midplane-project/midplane/node/power"
	"github.com/midplane-project/midplane/node/vm"
)

// network is how a node's alerts leave it.
type network struct {
	alerts []netip.AddrPort // what they may go to
	dial   func(ctx context.Context, to netip.AddrPort) (net.Conn, error)
}

// alertAddresses reads the addresses of the configuration. Each has one port,
// since a destination of IPMI's has none.
func alertAddresses(list []string) (out []netip.AddrPort, err error) {
	for _, s := range list {
		a, err := netip.ParseAddrPort(s)
		if err != nil || a.Port() == 0 {
			return nil, fmt.Errorf("alerts: %q is no IP:PORT", s)
		}
		a = netip.AddrPortFrom(a.Addr().Unmap(), a.Port())
		if slices.ContainsFunc(out, func(o netip.AddrPort) bool { return o.Addr() == a.Addr() }) {
			return nil, fmt.Errorf("alerts: %s stands twice", a.Addr())
		}
		out = append(out, a)
	}
	return out, nil
}

// dialUDP opens a socket to an address.
func dialUDP(ctx context.Context, to netip.AddrPort) (net.Conn, error) {
	var d net.Dialer
	return d.DialContext(ctx, "udp", to.String())
}

// newPEF makes the controller's event filtering.
func (c *Controller) newPEF(p parts, sdrs mc.SDRSource) (*pef.PEF, error) {
	filtering, err := pef.New(pef.Config{
		Records: records{p.db}, Log: c.sel, Target: pefTarget{p.vm}, Spawn: c.spawn, Logger: p.log,
		Sensor: sensorSystem.Number,
		Source: pef.Source{
			Addr: c.id.Addr, Manufacturer: c.id.Manufacturer, Product: c.id.Product, GUID: c.id.SystemGUID,
			Entity: func(generator uint16, sensor byte) (byte, byte) { return entityOf(sdrs, generator, sensor) },
		},
		Network: pef.Network{
			Destination: c.alertDestination, Allowed: p.network.alerts, Dial: p.network.dial,
		},
		Report: c.reportOwn,
	})
	if err != nil {
		return nil, fmt.Errorf("event filtering: %w", err)
	}
	return filtering, nil
}

// reportOwn reports an event of the controller's own.
func (c *Controller) reportOwn(ctx context.Context, body []byte) error {
	own := &ipmb.Request{Origin: ipmb.Origin{
		Speaker: ipmb.SpeakerController, Door: ipmb.DoorInternal, Privilege: ipmb.PrivilegeAdmin, Shelf: c.id.Shelf, Source: c.id.Addr,
	}}
	return c.events.report(ctx, own, generator(c.id.Addr, ipmb.LUNBMC), body)
}

// pefTarget lets PEF act on the VM.
type pefTarget struct{ payload }

// PowerCycle implements pef.Target.
func (t pefTarget) PowerCycle(ctx context.Context) error {
	return t.Cycle(because(ctx, causePEFCycle, 0))
}

// Reset implements pef.Target.
func (t pefTarget) Reset(ctx context.Context) error {
	return t.Press(because(ctx, causePEFReset, 0), vm.CommandReset)
}

// NMI implements pef.Target.
func (t pefTarget) NMI(ctx context.Context) error { return t.Press(ctx, vm.CommandNMI) }

// pefWatch tells PEF of the VM's starts, resets and ends.
type pefWatch struct {
	unwatched
	system func(on bool)
}

// vmHappened implements vmWatcher.
func (w pefWatch) vmHappened(e power.Event, _ bool) {
	switch e.Kind {
	case power.EventStarted, power.EventReset:
		w.system(true)
	case power.EventExited:
		w.system(false)
	}
}

// selBesidePEF is the SEL as commands have it: what they add is no event.
type selBesidePEF struct {
	mc.SELStore
	pef *pef.PEF
}

// SELAdd implements mc.SELStore.
func (s selBesidePEF) SELAdd(ctx context.Context, req *ipmb.Request, e mc.SELEntry) (uint16, error) {
	id, err := s.SELStore.SELAdd(ctx, req, e)
	if err != nil {
		return 0, err
	}
	return id, s.pef.Added(id)
}

// Sensor records from full to event-only (IPMI 2.0 §43.1 to §43.3) have the
// same bytes to begin with: after the type and length, the owner's id and LUN,
// the sensor's number, and what it belongs to.
const (
	sdrTypeByte    = 3
	sdrEventOnly   = 0x03
	sdrOwner       = 5
	sdrNumber      = 7
	sdrEntity      = 8
	sdrSensorBytes = 10
)

// entityOf looks up in the repository what a sensor belongs to, zeros if no
// record says so.
func entityOf(sdrs mc.SDRSource, generator uint16, sensor byte) (id, instance byte) {
	all, _, err := sdrs.SDRs(context.Background())
	if err != nil {
		return 0, 0
	}
	for _, r := range all {
		if len(r) < sdrSensorBytes || r[sdrTypeByte] == 0 || r[sdrTypeByte] > sdrEventOnly {
			continue
		}
		if r[sdrOwner] == byte(generator) && r[sdrNumber] == sensor {
			return r[sdrEntity], r[sdrEntity+1]
		}
	}
	return 0, 0
}

// LAN configuration parameters of alerts (IPMI 2.0 §23.2, table 23-4). Their
// data begins after the parameter's revision.
const (
	cmdGetLAN       = 0x02
	lanCommunity    = 16
	lanAlertType    = 18
	lanAlertAddress = 19

	lanCommunityLen   = 1 + 18
	lanAlertTypeLen   = 1 + 4
	lanAddress4Len    = 1 + 13
	lanAddress6Len    = 1 + 18
	lanAcknowledged   = 0x80
	lanKind           = 0x07
	lanRetries        = 0x07
	lanFormat6        = 0x10
	lanFormatMask     = 0xF0
	lanAddress4Offset = 4
	lanAddress6Offset = 3
)

// alertDestination reads a destination from the channel's LAN parameters, as
// Get LAN Configuration Parameters gives them.
func (c *Controller) alertDestination(ctx context.Context, channel, number uint8) (d pef.Destination, ok bool) {
	kind := c.lanParam(ctx, channel, lanAlertType, number)
	addr, ok := parseAlertAddress(c.lanParam(ctx, channel, lanAlertAddress, number))
	if len(kind) != lanAlertTypeLen || !ok {
		return d, false
	}
	return pef.Destination{
		Addr: addr, Kind: kind[2] & lanKind, Acknowledged: kind[2]&lanAcknowledged != 0,
		Interval: (time.Duration(kind[3]) + 1) * time.Second, // 0 is a second
		Retries:  int(kind[4] & lanRetries), Community: parseCommunity(c.lanParam(ctx, channel, lanCommunity, 0)),
	}, true
}

// lanParam asks the controller itself; nil: it does not say.
func (c *Controller) lanParam(ctx context.Context, channel, param, set uint8) []byte {
	r := c.mux.ServeIPMI(ctx, &ipmb.Request{
		NetFn: ipmb.NetFnTransport, Cmd: cmdGetLAN, Data: []byte{channel, param, set, 0},
		Origin: ipmb.Origin{Door: ipmb.DoorInternal, Privilege: ipmb.PrivilegeAdmin, Shelf: c.id.Shelf, Source: c.id.Addr},
	})
	if r.Code != ipmb.OK {
		return nil
	}
	return r.Data
}

// parseAlertAddress reads the data of parameter 19: revision, destination,
// format, and the address: for IPv4 behind the choice of a gateway.
func parseAlertAddress(b []byte) (netip.Addr, bool) {
	switch {
	case len(b) == lanAddress4Len && b[2]&lanFormatMask == 0:
		a := netip.AddrFrom4([4]byte(b[lanAddress4Offset:]))
		return a, !a.IsUnspecified()
	case len(b) == lanAddress6Len && b[2]&lanFormatMask == lanFormat6:
		a := netip.AddrFrom16([16]byte(b[lanAddress6Offset:]))
		return a, !a.IsUnspecified()
	}
	return netip.Addr{}, false
}

// parseCommunity reads the data of parameter 16: a text padded with zeros.
func parseCommunity(b []byte) string {
	if len(b) == lanCommunityLen {
		if text, _, _ := strings.Cut(string(b[1:]), "\x00"); text != "" {
			return text
		}
	}
	return pef.DefaultCommunity
}
