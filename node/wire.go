package node

import (
	"context"
	"sync/atomic"
	"time"

	"github.com/midplane-project/midplane/ipmb"
	"github.com/midplane-project/midplane/node/uplink"
	"github.com/midplane-project/midplane/node/vm"
	midplanev1 "github.com/midplane-project/midplane/proto/midplane/v1"
)

// wire is the controller's way to the bus. A standalone node has none: every
// other address is absent.
type wire struct {
	up  atomic.Pointer[uplink.Uplink]
	tap func(ipmb.Message)
}

// Send implements ipmb.Bus.
func (w *wire) Send(ctx context.Context, m ipmb.Message) error {
	u := w.up.Load()
	if u == nil {
		return ipmb.ErrDestination
	}
	w.tap(m)
	return u.Send(ctx, m)
}

// Absent implements bus.
func (w *wire) Absent(a ipmb.Addr) bool {
	u := w.up.Load()
	return u == nil || (a != ipmb.AddrShelfManager && u.Presence(a) == midplanev1.PresenceState_PRESENCE_STATE_ABSENT)
}

// tapBus shows a frame between this node and the bus to onlookers.
func (n *Node) tapBus(m ipmb.Message, arrives bool) {
	if n.opt.Tap != nil {
		n.opt.Tap(m, arrives)
	}
	if !n.hub.Watched() {
		return
	}
	raw, err := m.Frame.AppendBinary(nil)
	if err != nil {
		return
	}
	n.hub.Put(&midplanev1.TraceEntry{
		Time: time.Now().UnixNano(), Kind: midplanev1.TraceKind_TRACE_KIND_IPMB, Controller: uint32(n.cfg.Addr()),
		ToController: arrives, Bytes: raw, Plane: midplanev1.Plane(m.Plane) + midplanev1.Plane_PLANE_A,
	})
}

// tapDoor shows what passes the guest's door.
func (n *Node) tapDoor(dir vm.Direction, msg []byte, note string) {
	if !n.hub.Watched() {
		return
	}
	e := &midplanev1.TraceEntry{
		Time: time.Now().UnixNano(), Kind: midplanev1.TraceKind_TRACE_KIND_SYSTEM, Controller: uint32(n.cfg.Addr()),
		ToController: dir == vm.FromGuest, Bytes: append([]byte(nil), msg...), Note: note,
	}
	if msg == nil {
		e.Kind = midplanev1.TraceKind_TRACE_KIND_NOTE
	}
	n.hub.Put(e)
}
