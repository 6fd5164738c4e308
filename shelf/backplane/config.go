package backplane

import (
	"context"
	"log/slog"
	"time"

	"github.com/midplane-project/midplane/internal/link"
	"github.com/midplane-project/midplane/internal/trust"
	"github.com/midplane-project/midplane/ipmb"
	v1 "github.com/midplane-project/midplane/proto/midplane/v1"
)

// Protocol is the version of the streams that this package speaks.
const Protocol = 1

// DefaultGrace is how long a claimed but lost slot counts as lost, and not yet
// as absent.
const DefaultGrace = 10 * time.Second

// Brain is the active shelf manager as the switch sees it. Only the switch of
// the leader's replica calls it.
type Brain interface {
	// Claim commits the claim of a hello whose certificate was checked.
	Claim(ctx context.Context, hello *v1.NodeHello) *v1.RelayClaimAnswer
	// Detach releases a claim: the node left for good.
	Detach(ctx context.Context, shelf string, hw uint8, epoch uint64)
	// Events commits a run of a node's outbox. Nil: could not, the node tries again.
	Events(ctx context.Context, events *v1.RelayEvents) *v1.EventAck
	// Serve takes a frame addressed to 0x20. For a request, ok says that answer
	// is to be sent; it may block. For a response it must not block.
	Serve(ctx context.Context, shelf string, m ipmb.Message) (answer ipmb.Message, ok bool)
	// Attached tells that a slot's first stream to any replica came, or its last
	// one went. It must return soon.
	Attached(shelf string, hw uint8, epoch uint64, attached bool)
}

// Slot is what the replicated state knows of a slot's claim.
type Slot struct {
	Held      bool
	Instance  [16]byte
	Boot      uint64
	Epoch     uint64 // of the last claim, also after its end
	Name      string
	LostSince time.Time // zero: not known to be lost
}

// Config describes a switch.
type Config struct {
	Replica string        // own name
	Cluster func() string // ID of the cluster, empty before there is one
	Version string        // of the program, for hellos
	// Replicas lists all members with their addresses, own included.
	Replicas func() []*v1.ReplicaAddress
	Dial     link.Dialer
	// Identity says whose certificate a stream's peer has shown. Nil: streams
	// have none, and hellos are believed (one process, tests).
	Identity func(ctx context.Context) (trust.Identity, bool)
	// Leader is the raft term and the leader's name, empty when none is known.
	Leader func() (term uint64, name string)
	Brain  Brain
	// Slot reads the replicated state; it is asked for each frame.
	Slot func(shelf string, hw uint8) Slot
	// Policy for requests of nodes, whoever speaks there; nil: ipmb.DefaultGuestPolicy.
	Policy *ipmb.GuestPolicy
	// MaxPrivilege caps what a node's requests claim; 0: operator, which the
	// commands of the guest policy need.
	MaxPrivilege ipmb.Privilege
	Grace        time.Duration // 0: DefaultGrace
	Logger       *slog.Logger  // nil: quiet
	// Tap sees every frame with what became of it; nil: nobody looks. It must
	// not block, nor keep the frame's data.
	Tap func(shelf string, m ipmb.Message, fate Fate)
}

func (c Config) withDefaults() Config {
	if c.Policy == nil {
		c.Policy = ipmb.DefaultGuestPolicy
	}
	if c.MaxPrivilege == ipmb.PrivilegeNone {
		c.MaxPrivilege = ipmb.PrivilegeOperator
	}
	if c.Grace == 0 {
		c.Grace = DefaultGrace
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	return c
}
