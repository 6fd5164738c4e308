package shelf

import (
	"context"
	"sync"
	"sync/atomic"

	"github.com/midplane-project/midplane/ipmb"
	"github.com/midplane-project/midplane/ipmb/mc"
	v1 "github.com/midplane-project/midplane/proto/midplane/v1"
	"github.com/midplane-project/midplane/shelf/manager"
)

// brain is the active shelf managers of all shelves of this cluster, as the
// switch sees them: one for each declared shelf, and none while another
// replica leads.
type brain struct {
	replica *Replica
	term    atomic.Uint64 // in which this replica acts, 0 when it does not

	mu       sync.Mutex
	ctx      context.Context // of the leadership
	managers map[string]*manager.Manager
	group    sync.WaitGroup
}

func newBrain(r *Replica) *brain { return &brain{replica: r} }

// begin makes the managers answer.
func (b *brain) begin(ctx context.Context, term uint64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.ctx, b.managers = ctx, make(map[string]*manager.Manager)
	b.term.Store(term)
}

// run lets the managers of the declared shelves do their work until ctx ends.
func (b *brain) run(ctx context.Context, term uint64) {
	for _, s := range b.replica.fsm.Shelves() {
		b.manager(s.Name)
	}
	<-ctx.Done()
	b.group.Wait()
}

// end makes the managers silent.
func (b *brain) end() {
	b.term.Store(0)
	b.mu.Lock()
	defer b.mu.Unlock()
	b.managers = nil
}

// manager gives the manager of a shelf, nil when there is no such shelf or
// this replica does not lead.
func (b *brain) manager(shelf string) *manager.Manager {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.managers == nil {
		return nil
	}
	if m := b.managers[shelf]; m != nil {
		return m
	}
	if _, ok := b.replica.fsm.Shelf(shelf); !ok {
		return nil
	}
	return b.start(shelf)
}

func (b *brain) Claim(ctx context.Context, h *v1.NodeHello) *v1.RelayClaimAnswer {
	m := b.manager(h.Shelf)
	if m == nil {
		return b.noManager(h.Shelf)
	}
	return m.Claim(ctx, h)
}

// noManager says why nobody takes a claim.
func (b *brain) noManager(shelf string) *v1.RelayClaimAnswer {
	r := &v1.Refusal{Code: v1.RefusalCode_REFUSAL_CODE_NO_QUORUM, Message: "this replica does not lead"}
	if b.term.Load() != 0 {
		r = &v1.Refusal{Code: v1.RefusalCode_REFUSAL_CODE_UNKNOWN_SHELF, Message: "no shelf " + shelf + " in this cluster"}
	}
	return &v1.RelayClaimAnswer{Refusal: r}
}

func (b *brain) Detach(ctx context.Context, shelf string, hw uint8, epoch uint64) {
	if m := b.manager(shelf); m != nil {
		m.Detach(ctx, hw, epoch)
	}
}

func (b *brain) Events(ctx context.Context, e *v1.RelayEvents) *v1.EventAck {
	if m := b.manager(e.Shelf); m != nil {
		return m.Events(ctx, e)
	}
	return nil
}

func (b *brain) Serve(ctx context.Context, shelf string, msg ipmb.Message) (ipmb.Message, bool) {
	if m := b.manager(shelf); m != nil {
		return m.Serve(ctx, msg)
	}
	return ipmb.Message{}, false
}

func (b *brain) Attached(shelf string, hw uint8, epoch uint64, attached bool) {
	if m := b.manager(shelf); m != nil {
		m.Attached(hw, epoch, attached)
	}
}

// start makes the manager of a shelf and lets it lead. The caller holds b.mu.
func (b *brain) start(shelf string) *manager.Manager {
	r := b.replica
	door := r.doors[shelf]
	m := manager.New(manager.Config{
		Shelf: shelf, Cluster: r.cfg.Cluster, State: r.fsm, Raft: r, Presence: r.sw.Presence, Replicas: r.reachable, Logger: r.log,
		Bus:      ipmb.BusFunc(func(ctx context.Context, msg ipmb.Message) error { return r.sw.Send(ctx, shelf, msg) }),
		Identity: shelfIdentity, LAN: door.secrets(),
		Console: r.console,
	})
	b.managers[shelf] = m
	ctx, term := b.ctx, b.term.Load()
	b.group.Go(func() {
		if err := m.Lead(ctx, term); err != nil && ctx.Err() == nil {
			r.log.Error("shelf manager", "shelf", shelf, "err", err)
		}
	})
	if door != nil {
		b.group.Go(func() { door.serve(ctx, m, term) })
	}
	return m
}

// shelfIdentity is what 0x20 says of itself; its GUIDs are the shelf's.
var shelfIdentity = mc.Identity{DeviceID: 0x20, Revision: 1, SDRs: false, FirmwareMaj: 0, FirmwareMin: 0x10}
