package manager

import (
	"context"
	"net"
	"sync"
	"time"

	"github.com/midplane-project/midplane/ipmb"
	"github.com/midplane-project/midplane/ipmb/mc"
	"github.com/midplane-project/midplane/ipmb/rmcp"
)

const (
	sweepTime  = 5 * time.Second // between looks for sessions that say nothing
	adminAgain = time.Second     // between tries to make the first administrator
)

// ServeLAN answers at the shelf's LAN door in this tenure, until ctx ends. open
// gives the datagrams; it is called when somebody may log in.
func (m *Manager) ServeLAN(ctx context.Context, open func() net.PacketConn) error {
	if err := m.untilAdmin(ctx); err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	var group sync.WaitGroup
	defer group.Wait()
	defer cancel()
	group.Go(func() { m.sweep(ctx) })
	return m.door().Serve(ctx, open())
}

func (m *Manager) door() *rmcp.Door {
	return rmcp.NewDoor(rmcp.DoorConfig{
		Sessions: m.access.sessions, Handler: ipmb.HandlerFunc(m.serveLAN), Count: &m.access.lan.Count, Log: m.cfg.Logger.With("shelf", m.cfg.Shelf),
		SOL:   m.access.payloads,
		Style: m.cfg.LAN.Style,
		Effect: func(req *ipmb.Request) bool {
			row := m.mux.Lookup(req.NetFn, req.Cmd, req.Data)
			return row != nil && row.Effect
		},
		Origin: ipmb.Origin{
			Speaker: ipmb.SpeakerSession, Door: ipmb.DoorLAN, Channel: mc.LANChannel.Number,
			Shelf: m.cfg.Shelf, Source: ipmb.AddrShelfManager,
		},
	})
}

// serveLAN answers a request of the door's. CEh stands for no answer at all.
func (m *Manager) serveLAN(ctx context.Context, req *ipmb.Request) ipmb.Response {
	f := ipmb.RequestFrame(ipmb.AddrShelfManager, ipmb.AddrShelfManager, 0, 0, req)
	r, _, err := m.do(ctx, f, req.Origin)
	if err != nil {
		m.cfg.Logger.Debug("no answer at the LAN door", "shelf", m.cfg.Shelf, "why", err)
		return ipmb.Response{Code: ipmb.ErrNoResponse}
	}
	return r
}

// sweep ends sessions that say nothing.
func (m *Manager) sweep(ctx context.Context) {
	tick := time.NewTicker(sweepTime)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			if err := m.access.sessions.Sweep(ctx, time.Now()); err != nil && ctx.Err() == nil {
				m.cfg.Logger.Info("ended sessions are not yet forgotten", "shelf", m.cfg.Shelf, "err", err)
			}
		case <-ctx.Done():
			return
		}
	}
}
