//go:build e2e

package node

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/netip"
	"slices"
	"sync"
	"testing"

	"github.com/midplane-project/midplane/ipmb"
	"github.com/midplane-project/midplane/ipmb/mc"
	"github.com/midplane-project/midplane/ipmb/rmcp"
)

// cable is a bus that carries each frame to the controller that it is for.
type cable struct {
	mu   sync.Mutex
	ends map[ipmb.Addr]*Controller
	seen map[ipmb.Addr][]ipmb.Frame // requests, by their addressee
}

func (c *cable) plugIn(b *board) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.ends[b.id.Addr] = b.Controller
}

// Absent implements bus.
func (c *cable) Absent(a ipmb.Addr) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.ends[a] == nil
}

// Send implements ipmb.Bus.
func (c *cable) Send(ctx context.Context, m ipmb.Message) error {
	m.Frame.Data = slices.Clone(m.Frame.Data)
	c.mu.Lock()
	end := c.ends[m.Frame.To]
	if !m.Frame.IsResponse() {
		c.seen[m.Frame.To] = append(c.seen[m.Frame.To], m.Frame)
	}
	c.mu.Unlock()
	if end == nil {
		return ipmb.ErrDestination
	}
	end.Deliver(ctx, m)
	return nil
}

// took gives the requests that came to an address since it was asked last.
func (c *cable) took(a ipmb.Addr) []ipmb.Frame {
	c.mu.Lock()
	defer c.mu.Unlock()
	out := c.seen[a]
	c.seen[a] = nil
	return out
}

// bridgeRig is three boards on a cable: the first has a LAN door.
type bridgeRig struct {
	*cable
	first, second, third *board
	door                 netip.AddrPort
	ipmitool
}

func newBridgeRig(t *testing.T, style ipmb.BridgeStyle, frus ...mc.FRU) *bridgeRig {
	t.Helper()
	r := &bridgeRig{cable: &cable{ends: make(map[ipmb.Addr]*Controller), seen: make(map[ipmb.Addr][]ipmb.Frame)}}
	board := func(a ipmb.Addr) *board {
		b := newBoard(t, ProfileATCA)
		b.stop()
		b.id.Addr, b.cable, b.frus = a, r.cable, frus
		b.start()
		r.plugIn(b)
		return b
	}
	r.first, r.second, r.third = board(self), board(other), board(third)
	r.first.vm.on = true
	r.ipmitool = ipmitool{t, RandomPassword()}
	if err := (&Node{controller: r.first.Controller}).makeAdmin(r.password); err != nil {
		t.Fatal(err)
	}
	r.serve(style)
	return r
}

// serve opens the door until the test ends.
func (r *bridgeRig) serve(style ipmb.BridgeStyle) {
	r.t.Helper()
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		r.t.Fatal(err)
	}
	r.door = conn.LocalAddr().(*net.UDPAddr).AddrPort()
	a := r.first.access
	door := rmcp.NewDoor(rmcp.DoorConfig{
		Sessions: a.sessions, Handler: r.first.Handler(), Effect: r.first.hasEffect, Style: style,
		Count: &a.lan.Count, Log: slog.New(slog.DiscardHandler),
		Origin: ipmb.Origin{
			Speaker: ipmb.SpeakerSession, Door: ipmb.DoorLAN, Channel: mc.LANChannel.Number, Shelf: "lab", Source: self, Instance: "own",
		},
	})
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- door.Serve(ctx, conn) }()
	r.t.Cleanup(func() {
		cancel()
		if err := <-ended; !errors.Is(err, context.Canceled) {
			r.t.Error(err)
		}
	})
}
