package ipmb

import "context"

// Message is a frame on its way, with what its envelope says of it.
type Message struct {
	ID       uint64 // chosen by the requester's side; a response carries its request's
	Instance string // instance UUID of the requester's side, in both directions
	Frame    Frame
	Origin   Origin // of a request; zero in a response
	Plane    Plane
	Term     uint64 // raft term, on frames to and from 0x20 (0 = sender knows none)
	Epoch    uint64 // claim epoch of the sending slot, 0 for replicas
}

// Plane is one of the two logical halves of IPMB-0.
type Plane uint8

// Planes.
const (
	PlaneA Plane = 0
	PlaneB Plane = 1
)

func (p Plane) String() string {
	if p == PlaneB {
		return "IPMB-B"
	}
	return "IPMB-A"
}

// Bus takes messages. Send is best effort, as on the wire: nil says only that
// the message left. A completion code as error says that it did not and will
// not (D3h: the presence table knows nobody there).
type Bus interface {
	Send(ctx context.Context, m Message) error
}

// BusFunc lets a function be a [Bus].
type BusFunc func(ctx context.Context, m Message) error

// Send calls f.
func (f BusFunc) Send(ctx context.Context, m Message) error { return f(ctx, m) }
