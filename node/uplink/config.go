package uplink

import (
	"context"
	"fmt"
	"log/slog"

	"github.com/midplane-project/midplane/internal/link"
	"github.com/midplane-project/midplane/ipmb"
	v1 "github.com/midplane-project/midplane/proto/midplane/v1"
)

// Protocol is the version of the streams that this package speaks.
const Protocol = 1

// Replica is where a replica listens. Its name may be empty until it says it.
type Replica struct{ Name, Addr string }

// Config describes a node to the backplane.
type Config struct {
	Shelf    string
	HW       uint8 // hardware address of the slot
	Instance [16]byte
	Boot     uint64 // must be higher at each start
	Name     string
	Profile  string // "atca" or "server"
	API      string // where the node's own gRPC API listens
	Version  string // of the program
	DeviceID []byte // Get Device ID's answer without completion code

	// Replicas in the order that makes the first IPMB-A and the second IPMB-B.
	// More are learnt from those that answer.
	Replicas []Replica
	Dial     link.Dialer
	Outbox   *Outbox // nil: the node has no events to tell

	// Deliver takes what arrives for the node; it must not block.
	Deliver func(ctx context.Context, m ipmb.Message)
	// LeaderChanged tells that the leader, or the way to it, is another: send
	// again what is pending at 0x20. It must not block. May be nil.
	LeaderChanged func(term uint64, leader string)
	// WaysChanged tells that a stream to a replica came or went; it must not
	// block. May be nil.
	WaysChanged func()
	// PresenceChanged tells of another controller; it must not block. May be nil.
	PresenceChanged func(a ipmb.Addr, state v1.PresenceState)
	// Console takes the VM's console over for the shelf's users, as the call
	// wants it; nil: there is none.
	Console func(call *v1.ConsoleCall) (Console, error)
	Logger  *slog.Logger // nil: quiet
}

func (c Config) withDefaults() Config {
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	if c.LeaderChanged == nil {
		c.LeaderChanged = func(uint64, string) {}
	}
	if c.WaysChanged == nil {
		c.WaysChanged = func() {}
	}
	if c.PresenceChanged == nil {
		c.PresenceChanged = func(ipmb.Addr, v1.PresenceState) {}
	}
	return c
}

// RefusedError is a replica's answer to a hello that it does not accept.
type RefusedError struct{ Refusal *v1.Refusal }

func (e *RefusedError) Error() string {
	return fmt.Sprintf("uplink: refused (%v): %s", e.Refusal.GetCode(), e.Refusal.GetMessage())
}

// final reports a refusal that no waiting will change: this node must stop.
func (e *RefusedError) final() bool {
	return e.Refusal.GetCode() == v1.RefusalCode_REFUSAL_CODE_SUPERSEDED
}
