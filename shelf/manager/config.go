package manager

import (
	"context"
	"log/slog"

	"github.com/midplane-project/midplane/ipmb"
	"github.com/midplane-project/midplane/ipmb/mc"
	"github.com/midplane-project/midplane/ipmb/rmcp"
	v1 "github.com/midplane-project/midplane/proto/midplane/v1"
	"github.com/midplane-project/midplane/shelf/state"
)

// Raft is the cluster as the shelf manager uses it.
type Raft interface {
	// Propose commits a command and gives what applying it answered. After an
	// error it may or may not have been committed.
	Propose(ctx context.Context, c *v1.Command) (*v1.Answer, error)
	// VerifyLeader confirms with a quorum that this replica leads.
	VerifyLeader(ctx context.Context) error
	// Term is the term in which this replica acts as leader, 0 when it does not.
	Term() uint64
}

// Config describes the shelf manager of one shelf.
type Config struct {
	Shelf   string
	Cluster string // its id, for those who read the shelf's FRU information
	State   *state.FSM
	Raft    Raft
	// Bus takes frames from 0x20. They carry the term of the tenure that made
	// them; the bus must not send one of a term that is over.
	Bus ipmb.Bus
	// Presence gives the shelf-wide presence table: at least what is present.
	Presence func(shelf string) []*v1.Presence
	// Replicas tells how many replicas have a vote and how many of them are in
	// reach, this one included; nil: nobody knows.
	Replicas func() (voters, reachable int)
	// Identity of the controller at 0x20. Its GUIDs are the shelf's, whatever
	// stands here.
	Identity mc.Identity
	LAN      *LAN // nil: there is no LAN door
	// Console takes over the console of the VM of a slot's node, or fails with a
	// completion code; nil: there is none.
	Console func(ctx context.Context, shelf string, hw uint8, o rmcp.Opening) (rmcp.Line, error)
	Policy  *ipmb.GuestPolicy // nil: ipmb.DefaultGuestPolicy
	Logger  *slog.Logger      // nil: quiet
}

func (c Config) withDefaults() Config {
	if c.Policy == nil {
		c.Policy = ipmb.DefaultGuestPolicy
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	if s, ok := c.State.Shelf(c.Shelf); ok {
		copy(c.Identity.DeviceGUID[:], s.GUID)
		copy(c.Identity.SystemGUID[:], s.GUID)
	}
	return c
}
